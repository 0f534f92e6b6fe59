import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startHeartbeat } from '../../../src/members/index.ts';
import type { JoinFleet, Member, MemberState, ReadAsked, SendHeartbeat } from '../../../src/members/ports.ts';

const member: Member = {
  memberId: 'm1',
  role: 'worker',
  name: 'worker-1',
  host: 'h',
  pid: 1,
  version: '1',
  scorer: null,
};

function start(
  joinFleet: JoinFleet,
  sendHeartbeat: SendHeartbeat,
  {
    state = (): MemberState => 'running',
    readAsked = (async () => 0) as ReadAsked,
    obey = async (): Promise<void> => {},
  } = {},
) {
  const vitals = () => ({ state: state(), concurrency: 10, inFlight: 0, threads: 1, busyThreads: 0, processed: 0 });
  return startHeartbeat({ member, joinFleet, sendHeartbeat, readAsked, obey, vitals, log: pino({ level: 'silent' }) });
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('it joins once, says how it is every ten seconds, and goodbye at the end', async () => {
  const states: string[] = [];
  const joinFleet = vi.fn<JoinFleet>(async (_member, { state }) => void states.push(`join ${state}`));
  const heartbeat = start(joinFleet, async (_id, { state }) => {
    states.push(state);
    return 0;
  });
  await vi.advanceTimersByTimeAsync(30_000);
  await heartbeat.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(states).toEqual(['join running', 'running', 'running', 'running', 'stopped']);
});

test('a database that is away costs heartbeats; the next that gets through joins', async () => {
  const joinFleet = vi.fn<JoinFleet>().mockRejectedValueOnce(new Error('away')).mockResolvedValue();
  const sendHeartbeat = vi
    .fn<SendHeartbeat>()
    .mockResolvedValueOnce(null)
    .mockRejectedValueOnce(new Error('away'))
    .mockResolvedValue(0);
  const heartbeat = start(joinFleet, sendHeartbeat);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(joinFleet).toHaveBeenCalledTimes(2);
  expect(sendHeartbeat).toHaveBeenCalledTimes(4);
  await heartbeat.stop();
});

test('a database that hangs collects no heartbeats: one waits, however long it takes', async () => {
  const answers: (() => void)[] = [];
  const sendHeartbeat = vi.fn<SendHeartbeat>(() => new Promise((resolve) => answers.push(() => resolve(0))));
  const heartbeat = start(async () => {}, sendHeartbeat);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(sendHeartbeat).toHaveBeenCalledTimes(1);
  answers[0]?.();
  await vi.advanceTimersByTimeAsync(1);
  expect(sendHeartbeat).toHaveBeenCalledTimes(2);
  answers[1]?.();
  await vi.advanceTimersByTimeAsync(1);
  expect(sendHeartbeat).toHaveBeenCalledTimes(2);
  const stopped = heartbeat.stop();
  await vi.advanceTimersByTimeAsync(1);
  answers[2]?.();
  await stopped;
});

test('a member whose row another one has joins again', async () => {
  const joinFleet = vi.fn<JoinFleet>().mockResolvedValue();
  const sendHeartbeat = vi.fn<SendHeartbeat>().mockResolvedValueOnce(null).mockResolvedValue(0);
  const heartbeat = start(joinFleet, sendHeartbeat);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(joinFleet).toHaveBeenCalledTimes(2);
  await heartbeat.stop();
});

test('heartbeats follow each other: a slow one is not overtaken by a newer state', async () => {
  let state: MemberState = 'running';
  const begun: string[] = [];
  const answers: (() => void)[] = [];
  const heartbeat = start(
    async () => {},
    (_id, vitals) => {
      begun.push(vitals.state);
      return new Promise((resolve) => answers.push(() => resolve(0)));
    },
    { state: () => state },
  );
  await vi.advanceTimersByTimeAsync(10_000);
  state = 'draining';
  void heartbeat.beat();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(['running']);
  answers[0]?.();
  await vi.advanceTimersByTimeAsync(1);
  expect(begun).toEqual(['running', 'draining']);
  answers[1]?.();
  const stopped = heartbeat.stop();
  await vi.advanceTimersByTimeAsync(1);
  answers[2]?.();
  await stopped;
});

test('what operators ask is done within five seconds, once, and looked at once a minute in any case', async () => {
  let asked = 3;
  const obey = vi.fn(async () => {});
  const heartbeat = start(
    async () => {},
    async () => asked,
    { readAsked: async () => asked, obey },
  );
  await vi.advanceTimersByTimeAsync(1);
  expect(obey).toHaveBeenCalledTimes(1); // after joining
  await vi.advanceTimersByTimeAsync(30_000);
  const before = obey.mock.calls.length;
  asked = 4;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(obey).toHaveBeenCalledTimes(before + 1);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(obey).toHaveBeenCalledTimes(before + 1);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(obey).toHaveBeenCalledTimes(before + 2);
  await heartbeat.stop();
});

test('what could not be done is tried again with the next look', async () => {
  const obey = vi.fn<() => Promise<void>>().mockRejectedValueOnce(new Error('away')).mockResolvedValue();
  const heartbeat = start(
    async () => {},
    async () => 1,
    { readAsked: async () => 1, obey },
  );
  await vi.advanceTimersByTimeAsync(5_001);
  expect(obey).toHaveBeenCalledTimes(2);
  await heartbeat.stop();
});

test('what was done on request is said at once, and only then', async () => {
  let asked = 1;
  const sendHeartbeat = vi.fn<SendHeartbeat>(async () => asked);
  const heartbeat = start(async () => {}, sendHeartbeat, { readAsked: async () => asked });
  await vi.advanceTimersByTimeAsync(14_000);
  expect(sendHeartbeat).toHaveBeenCalledTimes(1);
  asked = 2;
  await vi.advanceTimersByTimeAsync(1_001);
  expect(sendHeartbeat).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(sendHeartbeat).toHaveBeenCalledTimes(2);
  await heartbeat.stop();
});
