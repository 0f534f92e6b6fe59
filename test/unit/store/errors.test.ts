import { expect, test } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { classify } from '../../../src/store/errors.ts';

test.each([
  [{ errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ errno: 1290, code: 'ER_OPTION_PREVENTS_STATEMENT', sqlState: 'HY000' }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ code: 'ECONNREFUSED', errno: -111 }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ code: 'PROTOCOL_CONNECTION_LOST', fatal: true }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ errno: 3819, sqlState: 'HY000' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 4025, code: 'ER_SOMETHING_ELSE', sqlState: '23000' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 1406, sqlState: '22001' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 1064, sqlState: '42000' }, 'bug', 'DATABASE_ERROR'],
])('%j is %s', (error, kind, code) => {
  expect(classify(error)).toMatchObject({ kind, code, cause: error });
});

test('an error that is classified already stays as it is', () => {
  const error = new PipelineError('permanent', 'X', 'x');
  expect(classify(error)).toBe(error);
});
