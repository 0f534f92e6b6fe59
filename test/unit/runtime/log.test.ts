import { expect, test } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { describeError } from '../../../src/runtime/log.ts';

test('neither message nor SQL of a foreign error is logged, even when it is a cause', () => {
  const foreign = Object.assign(new Error("Data too long: 'what the child said'"), {
    code: 'ER_DATA',
    errno: 1406,
    sql: 'INSERT what the child said',
  });
  const described = JSON.stringify(describeError(new PipelineError('transient', 'CODE', 'ours', { cause: foreign })));
  expect(described).not.toContain('child');
  expect(described).toContain('ours');
  expect(described).toContain('1406');
});

test('anything may be thrown', () => {
  for (const thrown of [null, undefined, 'text', 7, {}, []]) expect(() => describeError(thrown)).not.toThrow();
});
