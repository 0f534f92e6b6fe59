import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { type ReplicaWatch, watchLag } from '../../../src/replica/index.ts';

const log = pino({ level: 'silent' });
const at = (ms: number) => new Date(Date.UTC(2026, 0, 1) + ms);
let watch: ReplicaWatch;
afterEach(() => watch.close());

/** A primary and a replica, as they answer the next look. */
function servers(answers: { before: Date | null; now: Date; there: Date | null | Error }) {
  const state = { ...answers, primary: 'up' as 'up' | 'away' };
  watch = watchLag({
    async beat() {
      if (state.primary === 'away') throw new Error('away');
      return { now: state.now, before: state.before };
    },
    async readBeat() {
      if (state.there instanceof Error) throw state.there;
      return state.there;
    },
    maxLagMs: 5_000,
    log,
  });
  return state;
}

test.each([
  ['it has the last beat', { before: at(1_000), now: at(2_000), there: at(1_000) }, true, 0],
  ['it is as far behind as it may be', { before: at(9_000), now: at(10_000), there: at(4_000) }, true, 5_000],
  ['it is further behind', { before: at(9_000), now: at(10_000), there: at(3_999) }, false, 5_001],
  ['another API has beaten meanwhile', { before: at(1_000), now: at(2_000), there: at(1_500) }, true, 0],
  ['nothing was ever written', { before: null, now: at(0), there: null }, false, null],
  ['it has nothing', { before: at(1_000), now: at(2_000), there: null }, false, null],
  ['the last beat was long ago', { before: at(1_000), now: at(4_001), there: at(1_000) }, false, 0],
  ['it is away', { before: at(1_000), now: at(2_000), there: new Error('away') }, false, null],
])('%s', async (_what, answers, isFresh, lagMs) => {
  servers(answers);
  await watch.look();
  expect({ isFresh: watch.isFresh, lagMs: watch.lagMs }).toEqual({ isFresh, lagMs });
});

test('while the primary is away it stays what it was; a failed read ends it until the next look', async () => {
  const state = servers({ before: at(1_000), now: at(2_000), there: at(1_000) });
  await watch.look();
  state.primary = 'away';
  await watch.look();
  expect(watch.isFresh).toBe(true);
  watch.distrust();
  expect(watch.isFresh).toBe(false);
  await watch.look();
  expect(watch.isFresh).toBe(false);
  state.primary = 'up';
  await watch.look();
  expect(watch.isFresh).toBe(true);
});
