import { describe, expect, test } from 'vitest';
import { decideScale, noMemory, type ScaleFacts, type ScaleLimits } from '../../../src/fleet/scale.ts';

const limits: ScaleLimits = { min: 1, max: 8, upAbove: 0.7, downBelow: 0.3, drainMs: 60_000, coolDownMs: 60_000 };
const idle: ScaleFacts = {
  at: 1_000_000,
  workers: 2,
  backlog: 0,
  oldestMs: 0,
  rate: 0,
  slots: 20,
  slotsInUse: 0,
  cores: 8,
  cpu: 0.1,
  cpuOfWorker: 0.2,
  mostByConnections: 20,
};
const busy: ScaleFacts = { ...idle, backlog: 20_000, oldestMs: 90_000, rate: 100, slotsInUse: 1 };
const quiet = { changedAt: 0, quietLooks: 5 };

describe('one decision', () => {
  test.each<[string, Partial<ScaleFacts>, number, RegExp]>([
    ['a backlog that takes too long: twice as many at most', busy, 4, /20000 wait and take 200 s to drain/],
    ['one that takes a little too long: one more', { ...busy, backlog: 6_500, rate: 100 }, 3, /take 65 s/],
    ['nobody drains it', { ...busy, rate: 0 }, 4, /are not being drained/],
    ['a backlog that is soon done', { ...busy, backlog: 3_000, oldestMs: 20_000 }, 2, /being done/],
    ['what the workers hold is no backlog', { ...busy, backlog: 15, rate: 0.1 }, 2, /being done/],
    ['one old event that waits for a retry', { ...idle, backlog: 1, oldestMs: 3_600_000 }, 1, /in use/],
    ['busy, and messages wait', { ...busy, backlog: 4_000, oldestMs: 5_000, cpu: 0.75 }, 3, /CPU is at 75 %/],
    ['busy, and soon done', { ...busy, backlog: 500, oldestMs: 5_000, cpu: 0.75 }, 2, /being done/],
    ['no CPU is left', { ...busy, cpu: 0.97, cpuOfWorker: 1 }, 2, /no CPU is left/],
    ['CPU for one more', { ...busy, cpu: 0.78, cpuOfWorker: 1 }, 3, /drain/],
    ['scorers that wait need no CPU', { ...busy, cpu: 0.5, cpuOfWorker: 0.01 }, 4, /drain/],
    ['as many as there may be', { ...busy, workers: 8 }, 8, /WORKER_REPLICAS_MAX is 8/],
    ['no connections', { ...busy, mostByConnections: 2 }, 2, /no connections/],
    ['connections for one more', { ...busy, mostByConnections: 3 }, 3, /drain/],
    ['the broker is away', { ...busy, backlog: null }, 2, /broker/],
    ['the database is away', { ...busy, oldestMs: null }, 2, /database/],
    ['nothing to do', { ...idle, workers: 8 }, 4, /0 %|10 %|20 %|in use/],
    ['little to do: enough stay for twice that', { ...idle, workers: 8, slotsInUse: 0.29 }, 5, /29 % of the workers/],
    ['slots are in use although the CPU is idle', { ...idle, slotsInUse: 0.5 }, 2, /being done/],
    ['more than the bounds allow now', { ...idle, workers: 12 }, 8, /MAX/],
    ['fewer', { ...idle, workers: 0 }, 1, /MIN/],
  ])('%s', (_name, facts, workers, why) => {
    const decided = decideScale({ ...idle, ...facts }, limits, quiet);
    expect(decided.workers).toBe(workers);
    expect(decided.why).toMatch(why);
  });

  test('after a change there is none for a while', () => {
    const first = decideScale(busy, limits, noMemory);
    expect(first.workers).toBe(4);
    const soon = decideScale({ ...busy, workers: 4, at: busy.at + 30_000 }, limits, first.memory);
    expect(soon).toMatchObject({ workers: 4, why: expect.stringContaining('has to show') });
    expect(decideScale({ ...busy, workers: 4, at: busy.at + 60_000 }, limits, soon.memory).workers).toBe(8);
  });

  test('a quiet moment is no reason to shrink, three in a row are', () => {
    let memory = { changedAt: 0, quietLooks: 0 };
    const look = (facts: ScaleFacts) => {
      const decided = decideScale(facts, limits, memory);
      memory = decided.memory;
      return decided.workers;
    };
    expect([look(idle), look(idle), look({ ...idle, slotsInUse: 0.6 }), look(idle), look(idle), look(idle)]).toEqual([
      2, 2, 2, 2, 2, 1,
    ]);
  });
});

/** A machine with a fleet: events come, workers take them. A look every 30 s. */
function simulate(options: {
  readonly minutes: number;
  /** Events per second at a minute of the day. */
  readonly load: (minute: number, random: () => number) => number;
  /** Events per second and cores of one worker that is busy. */
  readonly worker: { readonly rate: number; readonly cores: number };
  readonly cores: number;
  readonly limits?: Partial<ScaleLimits>;
  readonly seed?: number;
}) {
  const own = { ...limits, ...options.limits };
  const { worker, cores } = options;
  let state = options.seed ?? 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const lookS = 30;
  let memory = noMemory;
  let workers = own.min;
  let backlog = 0;
  const history: { minute: number; workers: number; backlog: number; drainS: number }[] = [];
  for (let look = 0; look < (options.minutes * 60) / lookS; look++) {
    const arriving = options.load((look * lookS) / 60, random) * lookS;
    // More workers than there are cores for share them.
    const most = Math.min(workers * worker.rate, (cores / Math.max(0.001, worker.cores)) * worker.rate) * lookS;
    const done = Math.min(backlog + arriving, most);
    backlog += arriving - done;
    const share = done / Math.max(1, workers * worker.rate * lookS);
    const facts: ScaleFacts = {
      at: look * lookS * 1_000,
      workers,
      backlog: Math.round(backlog),
      oldestMs: done === 0 ? 0 : (backlog / (done / lookS)) * 1_000,
      rate: done / lookS,
      slots: workers * 10,
      slotsInUse: Math.min(1, share * (0.9 + 0.2 * random())),
      cores,
      cpu: Math.min(1, 0.05 + (share * workers * worker.cores) / cores),
      cpuOfWorker: share * worker.cores,
      mostByConnections: 100,
    };
    const decided = decideScale(facts, own, memory);
    memory = decided.memory;
    workers = decided.workers;
    history.push({
      minute: (look * lookS) / 60,
      workers,
      backlog,
      drainS: facts.rate === 0 ? 0 : backlog / facts.rate,
    });
  }
  const changes = history.filter((h, i) => i > 0 && h.workers !== history[i - 1]?.workers).length;
  return { history, changes, mean: history.reduce((n, h) => n + h.workers, 0) / history.length };
}

describe('a day', () => {
  /** Quiet nights, two peaks, noise of a fifth. */
  const day = (minute: number, random: () => number) => {
    const hour = (minute / 60) % 24;
    const peak = (at: number, width: number) => Math.exp(-(((hour - at) / width) ** 2));
    return (5 + 150 * peak(12, 2.5) + 220 * peak(20, 2)) * (0.8 + 0.4 * random());
  };
  const waiting = { rate: 50, cores: 0.05 };

  test('workers follow the load: nothing waits long, and at night few are there', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { history, changes, mean } = simulate({ minutes: 24 * 60, load: day, worker: waiting, cores: 8, seed });
      expect(Math.max(...history.map((h) => h.drainS)), `seed ${seed}`).toBeLessThan(300);
      expect(history.filter((h) => h.minute < 5 * 60).every((h) => h.workers <= 2)).toBe(true);
      expect(mean).toBeLessThan(4);
      // It grows and shrinks with two peaks, and does not twitch.
      expect(changes, `seed ${seed}`).toBeLessThan(40);
      expect(history.every((h) => h.workers >= limits.min && h.workers <= limits.max)).toBe(true);
    }
  });

  test('a burst out of nothing: in a few looks as many as needed, and afterwards few', () => {
    const burst = (minute: number) => (minute >= 10 && minute < 20 ? 300 : 1);
    const { history } = simulate({ minutes: 60, load: burst, worker: waiting, cores: 8 });
    const at = (minute: number) => history.find((h) => h.minute === minute)?.workers ?? 0;
    expect(at(9.5)).toBe(1);
    expect(at(15)).toBeGreaterThanOrEqual(7);
    expect(at(45)).toBe(1);
    expect(history.at(-1)?.backlog).toBe(0);
  });

  test.each([0.3, 0.5, 0.7, 0.9])('a load of %s of a worker for a day: it does not twitch', (share) => {
    for (const workers of [1, 2, 4]) {
      const load = (_minute: number, random: () => number) => share * workers * waiting.rate * (0.9 + 0.2 * random());
      const { changes, history } = simulate({ minutes: 24 * 60, load, worker: waiting, cores: 8 });
      expect(changes).toBeLessThan(12);
      expect(history.at(-1)?.drainS).toBeLessThan(60);
    }
  });

  test('scorers that use the CPU: no more workers than the machine has cores for', () => {
    const { history } = simulate({ minutes: 60, load: () => 1_000, worker: { rate: 50, cores: 1 }, cores: 4 });
    expect(Math.max(...history.map((h) => h.workers))).toBeLessThanOrEqual(4);
    expect(history.at(-1)?.workers).toBeGreaterThanOrEqual(3);
  });
});
