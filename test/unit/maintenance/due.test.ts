import { expect, test } from 'vitest';
import { decideDue, nextTime, previousTime } from '../../../src/maintenance/due.ts';
import type { History } from '../../../src/maintenance/ports.ts';

const at = (text: string) => new Date(`2026-03-${text}Z`);
const run = (due: string, state: History[number]['state'], ended: string | null): History[number] => ({
  dueAt: at(due),
  state,
  endedAt: ended === null ? null : at(ended),
  detail: null,
});
const previous = at('10T03:00:00');
const now = at('10T03:30:00');

test.each<[string, History, string | null]>([
  ['never seen: from its next time on', [], 'first-seen'],
  ['seen, and its time has come', [run('09T03:00:00', 'new', '09T12:00:00')], 'due'],
  ['done the day before', [run('09T03:00:00', 'done', '09T03:01:00')], 'due'],
  ['missed for a week: once', [run('03T03:00:00', 'done', '03T03:01:00')], 'due'],
  ['done', [run('10T03:00:00', 'done', '10T03:01:00')], 'wait'],
  ['under way', [run('10T03:00:00', 'running', null)], 'wait'],
  ['its runner has gone', [run('10T03:00:00', 'lost', '10T03:29:59')], 'due'],
  ['failed a moment ago', [run('10T03:00:00', 'failed', '10T03:25:00')], 'wait'],
  ['failed ten minutes ago', [run('10T03:00:00', 'failed', '10T03:20:00')], 'due'],
  [
    'failed three times',
    [
      run('10T03:00:00', 'failed', '10T03:20:00'),
      run('10T03:00:00', 'failed', '10T03:10:00'),
      run('10T03:00:00', 'failed', '10T03:00:01'),
    ],
    'wait',
  ],
  [
    'failed twice, and three times the day before',
    [
      run('10T03:00:00', 'failed', '10T03:20:00'),
      run('10T03:00:00', 'failed', '10T03:10:00'),
      run('09T03:00:00', 'failed', '09T03:10:00'),
      run('09T03:00:00', 'failed', '09T03:00:00'),
    ],
    'due',
  ],
  ['a clock that was ahead', [run('11T03:00:00', 'done', '11T03:01:00')], 'wait'],
])('%s', (_name, history, kind) => {
  const decided = decideDue(previous, history, now);
  expect(decided.kind).toBe(kind);
  if (decided.kind !== 'wait') expect(decided.dueAt).toEqual(previous);
});

test('a schedule is of a time zone', () => {
  expect(previousTime('0 3 * * *', 'Asia/Ho_Chi_Minh', now)).toEqual(at('09T20:00:00'));
  expect(nextTime('0 3 * * *', 'Asia/Ho_Chi_Minh', now)).toEqual(at('10T20:00:00'));
});

test('a time that the clocks skip is made up, and one that they repeat counts once', () => {
  // Berlin, 29 March 2026: 02:00 to 03:00 is not there. 25 October: it is there twice.
  const times = (from: string, hours: number) => {
    const seen = new Set<number>();
    for (let h = 0; h < hours; h++) {
      const found = previousTime('30 2 * * *', 'Europe/Berlin', new Date(Date.parse(from) + h * 3_600_000));
      if (found !== null) seen.add(found.getTime());
    }
    return seen.size;
  };
  expect(times('2026-03-28T12:00:00Z', 48)).toBe(3);
  expect(times('2026-10-24T12:00:00Z', 48)).toBe(3);
});
