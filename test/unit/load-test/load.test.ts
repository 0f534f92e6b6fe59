import { describe, expect, test } from 'vitest';
import { closedLoop, createRecorder, exceeded, openLoop, parseThreshold } from '../../../src/load-test/index.ts';

describe('limits', () => {
  test.each([
    ['p99>100ms', { of: 'p99', above: 100 }],
    ['p50 > 0.5s', { of: 'p50', above: 500 }],
    ['max>2s', { of: 'max', above: 2_000 }],
    ['errors>0.1%', { of: 'errors', above: 0.001 }],
  ])('%s', (text, expected) => {
    expect(parseThreshold(text)).toMatchObject(expected);
  });

  test.each(['p99', 'p99>100', 'p98>1ms', 'errors>1', 'p99<1ms', ''])('%s is none', (text) => {
    expect(parseThreshold(text)).toBeNull();
  });

  test('what a run is above is said with what it was', () => {
    const recorder = createRecorder();
    for (let i = 0; i < 99; i++) recorder.record('submit', 10, null);
    recorder.record('status', 500, '503 overloaded');
    const limits = ['p50>20ms', 'max>100ms', 'errors>0.5%', 'errors>1%'].flatMap((text) => parseThreshold(text) ?? []);
    const broken = exceeded(limits, recorder.totals().all);
    expect(broken).toHaveLength(2);
    expect(broken[0]).toMatch(/^max>100ms: 50\d\.\d ms$/);
    expect(broken[1]).toBe('errors>0.5%: 1.00 %');
  });

  test('a run without a request is above nothing', () => {
    const limits = ['p99>1ms', 'errors>0%'].flatMap((text) => parseThreshold(text) ?? []);
    expect(exceeded(limits, createRecorder().totals().all)).toEqual([]);
  });
});

test('a sample has what came since the one before, and the totals have all', () => {
  const recorder = createRecorder();
  for (let i = 0; i < 10; i++) recorder.record('submit', 5, null);
  expect(recorder.sample({ seconds: 2, users: 3, queued: 7 })).toMatchObject({
    seconds: 2,
    users: 3,
    perSecond: 5,
    queued: 7,
  });
  recorder.record('status', 50, 'no answer (ECONNREFUSED)');
  const second = recorder.sample({ seconds: 3, users: 3, queued: null });
  expect(second).toMatchObject({ perSecond: 1, errorsPerSecond: 1 });
  expect(second.latency?.p50).toBeGreaterThanOrEqual(50);
  const { submit, status, all } = recorder.totals();
  expect([submit.requests, status.requests, all.requests]).toEqual([10, 1, 11]);
  expect(all.errors).toEqual([{ reason: 'no answer (ECONNREFUSED)', count: 1 }]);
});

const never = new AbortController().signal;

test('closed loop: each user has one request at a time, and all have ended when it is done', async () => {
  const asking = new Set<number>();
  let requests = 0;
  let most = 0;
  const crowd = closedLoop(
    { users: 20, spawnRate: 1_000_000, runTimeMs: 200, thinkMs: [0, 1] },
    async (user) => {
      expect(asking.has(user)).toBe(false);
      asking.add(user);
      requests++;
      most = Math.max(most, asking.size);
      await new Promise((resolve) => setTimeout(resolve, 5));
      asking.delete(user);
    },
    never,
  );
  await crowd.done;
  expect(asking.size).toBe(0);
  expect(crowd.users()).toBe(0);
  expect(most).toBe(20);
  expect(requests).toBeGreaterThan(20);
});

test('open loop: requests come whatever the answers do, and are told when they were due', async () => {
  const answers: (() => void)[] = [];
  const dues: number[] = [];
  const crowd = openLoop(
    { rate: 500, runTimeMs: 200 },
    (_user, dueAt) => {
      dues.push(dueAt);
      return new Promise((resolve) => answers.push(resolve));
    },
    never,
    () => 0.5, // a gap of ln 2 / 500 s each
  );
  await new Promise((resolve) => setTimeout(resolve, 250));
  expect(answers.length).toBeGreaterThan(20);
  expect(crowd.users()).toBe(answers.length);
  for (const [i, due] of dues.entries())
    if (i > 0) expect(due - (dues[i - 1] ?? 0)).toBeCloseTo((Math.LN2 * 1_000) / 500, 6);
  for (const answer of answers) answer();
  await crowd.done;
});

test('a stop ends a run early', async () => {
  const stop = new AbortController();
  const crowd = closedLoop(
    { users: 5, spawnRate: 1_000, runTimeMs: 600_000, thinkMs: [60_000, 60_000] },
    async () => {},
    stop.signal,
  );
  setTimeout(() => stop.abort(), 20);
  await crowd.done;
  expect(crowd.users()).toBe(0);
});
