import { describe, expect, test } from 'vitest';
import { bestSetting, confirmSetting, threadsFor } from '../../../src/size/choose-setting.ts';
import { fitModel, isWaiting, type LatencyPoint, type Trial } from '../../../src/size/model.ts';
import { advise, classicRules, type Goal, type Measured, sustained } from '../../../src/size/recommend.ts';

const trials: Trial[] = (
  [
    [1, 2, 600],
    [1, 10, 2_000],
    [1, 50, 4_000],
    [4, 10, 2_400],
    [4, 50, 3_600],
  ] as const
).map(([workers, concurrency, rate]) => ({
  workers,
  concurrency,
  threads: 2,
  rate,
  busy: 0.9,
  workerMiB: 100 + workers,
}));
const measured: Measured = {
  cores: 2,
  scorer: { name: 'friendship', wallMs: 1, cpuMs: 0.9, threadEfficiency: 0.95, waits: null },
  bodyBytes: 3_000,
  commitMs: 1,
  acceptRate: 4_000,
  maxConnections: 151,
  trials,
};
const model = fitModel(measured, trials);
const latency: [LatencyPoint, LatencyPoint] = [
  { share: 0.3, p50Ms: 5, p99Ms: 20 },
  { share: 0.6, p50Ms: 8, p99Ms: 35 },
];
const goal = (g: Partial<Goal> = {}): Goal => ({ rate: null, p99Ms: null, machines: null, ...g });
const setting = bestSetting(2, model, goal());
const adviceFor = (g: Partial<Goal>) => advise(measured, model, latency, goal(g), setting);

test('each core gets a thread, divided among the workers, whatever the scorer does', () => {
  expect(threadsFor(2, 1, 10)).toBe(2);
  expect(threadsFor(2, 2, 10)).toBe(1);
  expect(threadsFor(2, 8, 10)).toBe(1);
  expect(threadsFor(16, 1, 10)).toBe(10);
});

describe('a scorer that waits', () => {
  /** 5 s per event; 100 in flight used a twentieth of the CPU. */
  const waits = { ...measured, scorer: { ...measured.scorer, wallMs: 5_000, cpuMs: 3 } };
  const runs: Trial[] = [
    [1, 50, 10, 0.025],
    [2, 50, 20, 0.05],
  ].map(([workers = 0, concurrency = 0, rate = 0, busy = 0]) => ({
    workers,
    concurrency,
    threads: 1,
    rate,
    busy,
    workerMiB: 80,
  }));
  const law = fitModel(waits, runs);

  test('is told apart from one that uses the CPU, and from a quick one', () => {
    expect(isWaiting(waits.scorer)).toBe(true);
    expect(isWaiting(measured.scorer)).toBe(false);
    expect(isWaiting({ ...measured.scorer, wallMs: 5, cpuMs: 0.1 })).toBe(false);
  });

  test("is predicted by Little's law, up to what the CPU allows", () => {
    expect(law.rate(4, 120)).toBeCloseTo(96);
    expect(law.rate(100, 120)).toBeCloseTo(400);
  });

  test.each([
    [{ rate: 7 }, { workers: 1, concurrency: 50 }],
    [{ rate: 56 }, { workers: 4, concurrency: 100 }],
    [
      { rate: 112, machines: 2 },
      { workers: 4, concurrency: 100 },
    ],
    // Without a rate: the most that one machine is asked to hold.
    [{}, { workers: 8, concurrency: 120 }],
  ])('gets as many in flight as the rate needs, plus room for bursts: %j', (wanted, expected) => {
    expect(bestSetting(2, law, goal(wanted))).toMatchObject({ ...expected, threads: Math.ceil(2 / expected.workers) });
  });

  test('a rate beyond what one machine may hold is given as a number of machines', () => {
    const wanted = goal({ rate: 400 });
    const advice = advise(waits, law, latency, wanted, bestSetting(2, law, wanted));
    expect(advice.machines).toBe(3);
    expect(advice.setting).toMatchObject({ workers: 8, concurrency: 120 });
  });
});

test('the recommended setting is the smallest that comes close to the fastest', () => {
  expect(setting).toEqual({ workers: 1, concurrency: 50, threads: 2 });
});

describe('advice', () => {
  test('without a goal: what this machine does comfortably', () => {
    const advice = adviceFor({});
    expect(advice.sustained).toBeCloseTo(2_000, 6); // 4,000 accepted and 4,000 drained, on the same cores
    expect(advice.sustained).toBe(sustained(measured, model, setting));
    expect(advice.rate).toBeCloseTo(1_400, 6);
    expect(advice).toMatchObject({ machines: 1, shortfall: null, share: expect.closeTo(0.7, 6) });
    // Little's law: events in flight = rate x time.
    expect(advice.expected.queue).toBeCloseTo((advice.rate / 1_000) * advice.expected.p50Ms, 6);
    expect(advice.expected.workersMiB).toBe(104);
  });

  test('a rate above what one machine sustains needs more machines, and connections for them', () => {
    const advice = adviceFor({ rate: 10_000 });
    expect(advice.machines).toBe(8); // 10,000 / 1,400
    expect(advice.connections).toEqual({ needed: (8 + 1) * 5, admitted: 151 });
    expect(advice.shortfall).toBeNull();
  });

  test('a tighter p99 leaves more room, and so needs more machines', () => {
    expect(adviceFor({ rate: 2_000, p99Ms: 25 }).machines).toBeGreaterThan(
      adviceFor({ rate: 2_000, p99Ms: 200 }).machines,
    );
    expect(adviceFor({ rate: 500, p99Ms: 35 }).expected.p99Ms).toBeLessThanOrEqual(35);
  });

  test('says so when a goal cannot be reached', () => {
    expect(adviceFor({ p99Ms: 2 }).shortfall).toMatch(/p99 is \d+ ms with next to no load/);
    expect(adviceFor({ rate: 10_000, machines: 2 }).shortfall).toMatch(/needs 8 machines/);
  });
});

test('the rules of thumb are shown with what the model predicts for them', () => {
  expect(classicRules(measured, model).map((r) => [r.workers, r.concurrency])).toEqual([
    [2, 10],
    [4, 10],
    [5, 10],
    [2, 5],
  ]);
  expect(classicRules(measured, model)[1]?.rate).toBeCloseTo(2_400, 6);
});

describe('a setting that the model chose', () => {
  const run = (workers: number, concurrency: number, rate: number): Trial => ({
    ...(trials[0] as Trial),
    ...{ workers, concurrency, rate },
    threads: 2,
  });

  test('gives way to a run that was more than a tenth faster than its own', () => {
    const chosen = confirmSetting({ workers: 1, concurrency: 20, threads: 2 }, [
      run(1, 20, 1_100),
      run(2, 20, 1_500),
      run(4, 10, 1_000),
    ]);
    expect(chosen).toEqual({ workers: 2, concurrency: 20, threads: 2 });
  });

  test('stays when nothing measured is clearly faster', () => {
    const kept = { workers: 1, concurrency: 20, threads: 2 };
    expect(confirmSetting(kept, [run(1, 20, 1_100), run(2, 20, 1_190)])).toEqual(kept);
  });
});
