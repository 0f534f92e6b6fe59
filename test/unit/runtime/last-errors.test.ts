import { expect, test } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { createLastErrors } from '../../../src/runtime/last-errors.ts';

test('the last error of each kind, newest first, with how many there were and no message of its own', () => {
  let ms = 0;
  const errors = createLastErrors(() => new Date(++ms));
  errors.note(new PipelineError('transient', 'BROKER_DOWN', 'ours'), 'first');
  errors.note(new TypeError("cannot read 'what the child said'"), 'a bug');
  errors.note(new PipelineError('transient', 'BROKER_DOWN', 'ours'), 'again');
  expect(errors.list()).toEqual([
    { code: 'BROKER_DOWN', said: 'again', count: 2, at: new Date(3) },
    { code: 'TypeError', said: 'a bug', count: 1, at: new Date(2) },
  ]);
});

test('whatever codes a scorer invents, fifty are kept', () => {
  const errors = createLastErrors();
  for (let n = 0; n < 200; n++) errors.note(Object.assign(new Error(), { code: `C${n}` }), 'said');
  expect(errors.list().map(({ code }) => code)).toEqual(Array.from({ length: 50 }, (_, i) => `C${199 - i}`));
});

test('anything may be thrown', () => {
  const errors = createLastErrors();
  for (const thrown of [null, undefined, 'text', 7]) expect(() => errors.note(thrown, 'said')).not.toThrow();
});
