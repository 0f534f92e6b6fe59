import { expect, test } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { classify } from '../../../src/store/errors.ts';

test.each([
  [{ errno: 1213, code: 'ER_LOCK_DEADLOCK', sqlState: '40001' }, 'transient', 'DATABASE_DEADLOCK'],
  [{ errno: 1205, sqlState: 'HY000' }, 'transient', 'DATABASE_LOCKED'],
  [{ errno: 1290, code: 'ER_OPTION_PREVENTS_STATEMENT', sqlState: 'HY000' }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ code: 'ECONNREFUSED', errno: -111 }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ code: 'PROTOCOL_CONNECTION_LOST', fatal: true }, 'transient', 'DATABASE_UNAVAILABLE'],
  [{ errno: 3819, sqlState: 'HY000' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 4025, code: 'ER_SOMETHING_ELSE', sqlState: '23000' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 1406, sqlState: '22001' }, 'permanent', 'ROW_REFUSED'],
  [{ errno: 1064, sqlState: '42000' }, 'bug', 'DATABASE_ERROR'],
  [{ errno: 1054, sqlState: '42S22' }, 'bug', 'DATABASE_ERROR'],
])('%j is %s', (error, kind, code) => {
  expect(classify(error)).toMatchObject({ kind, code, cause: error });
});

// ProxySQL's own, a password being changed, a host not allowed, a missing privilege, and other errors that may go away.
test.each([9001, 1045, 1130, 1142, 1206, 1637, 4031, 1105])('errno %i is transient', (errno) => {
  expect(classify({ errno, sqlState: 'HY000' })).toMatchObject({ kind: 'transient', code: 'DATABASE_ERROR' });
});

test('an error that is classified already stays as it is', () => {
  const error = new PipelineError('permanent', 'X', 'x');
  expect(classify(error)).toBe(error);
});
