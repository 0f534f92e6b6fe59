import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startHandOver } from '../../../src/score/hand-over.ts';
import type { Given, ThreadEnd, ThreadEvents } from '../../../src/score/thread.ts';

/** The decisions of the hand-over, with fake threads driven by the test. Real threads are in pool.test.ts. */

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

const textOf = (n: number, size = 1) => [new Uint8Array(size).fill(n)];
const turn = () => new Promise((resolve) => setImmediate(resolve));
/** Long enough for the threads to have been looked at. */
const look = async () => {
  vi.advanceTimersByTime(20);
  await turn();
};

/** The outcome of a text is its first byte. */
const outcomeOf = (n: number) => ({ kind: 'scored', change: n, totalTurns: 0, detailsJson: '{}' }) as const;

/** The attempt in which a thread was started, as its log lines would name it. */
const attempt = new AsyncLocalStorage<string>();
const startedIn: (string | undefined)[] = [];

type FakeThread = ReturnType<typeof createThread>;

function createThread(events: ThreadEvents) {
  const items: { readonly id: number; readonly n: number; isOpen: boolean }[] = [];
  return {
    groups: [] as number[][],
    isIdle: false,
    heapBytes: 100,
    letEnd: () => {},
    hasEnded: false,
    heardGiveUp: false,
    give(given: readonly Given[]): void {
      const fresh = given.map(({ id, text }) => ({ id, n: text[0]?.[0] ?? 0, isOpen: true }));
      this.groups.push(fresh.map(({ n }) => n));
      items.push(...fresh);
    },
    open: (): number[] => items.filter((item) => item.isOpen).map(({ n }) => n),
    finish(ns: readonly number[], { eachMs = 5, overdue = false } = {}): void {
      const ended = items.filter((item) => item.isOpen && ns.includes(item.n));
      for (const item of ended) item.isOpen = false;
      events.onReplies({
        ids: ended.map(({ id }) => id),
        outcomes: ended.map(({ n }) => outcomeOf(n)),
        eachMs,
        overdue,
      });
    },
    /** @param inCall  the body whose scorer call has not returned; if not given, all have begun. */
    die({ inCall, ...end }: Partial<ThreadEnd> & { inCall?: number } = {}): void {
      const begun = items.find(({ n }) => n === inCall)?.id ?? items.length;
      events.onEnd({ hung: false, code: null, begun, running: inCall !== undefined, ...end });
    },
  };
}

async function createStage({
  threads = 1,
  waits = null as boolean | null,
  maxThreadBytes = 10_000_000,
  ends = true,
  wear = { maxTasks: 0, maxHeapBytes: 1_000 },
} = {}) {
  const all: FakeThread[] = [];
  const handOver = await startHandOver({
    threads,
    maxThreadBytes,
    wear,
    stop: new AbortController().signal,
    log: pino({ level: 'silent' }),
    startThread: async (events) => {
      startedIn.push(attempt.getStore());
      const thread = createThread(events);
      all.push(thread);
      return {
        waits,
        give: (items) => thread.give(items),
        isIdle: () => thread.isIdle,
        profile: async () => '',
        get heapBytes() {
          return thread.heapBytes;
        },
        giveUp: async () => {
          thread.heardGiveUp = true;
        },
        end: async () => {
          thread.hasEnded = true;
          if (ends) return;
          const native = Promise.withResolvers<void>();
          thread.letEnd = native.resolve;
          await native.promise;
        },
      };
    },
  });
  const submit = (n: number, size?: number) => handOver.submit(textOf(n, size)).then((scored) => scored.kind);
  return { all, handOver, submit, thread: (i: number) => all[i] as FakeThread };
}

test('a thread whose event loop is busy gets nothing more, however much is waiting', async () => {
  const { submit, thread } = await createStage({ threads: 2 });
  const replies = [1, 2, 3].map((n) => submit(n));
  await turn();
  await look();
  expect([thread(0).groups, thread(1).groups]).toEqual([[[1]], [[2]]]);
  thread(1).finish([2]);
  await turn();
  expect(thread(1).groups).toEqual([[2], [3]]);
  thread(0).finish([1]);
  thread(1).finish([3]);
  expect(await Promise.all(replies)).toEqual(['scored', 'scored', 'scored']);
});

test('an idle thread gets more, one at a time; of several, the one that holds least', async () => {
  const { submit, thread } = await createStage({ threads: 2 });
  thread(0).isIdle = true;
  const replies = [1, 2, 3, 4].map((n) => submit(n));
  // This fake stays idle whatever it is given; a real thread is not idle until it has begun everything.
  await turn();
  expect([thread(0).groups, thread(1).groups]).toEqual([[[1], [3], [4]], [[2]]]);
  thread(0).finish([1, 3, 4]);
  thread(1).finish([2]);
  await Promise.all(replies);
});

test('threads are polled while something is waiting, because none reports becoming idle', async () => {
  const { submit, handOver, thread } = await createStage();
  const replies = [1, 2].map((n) => submit(n));
  await turn();
  expect(handOver.waiting).toBe(1);
  thread(0).isIdle = true;
  await look();
  expect(thread(0).groups).toEqual([[1], [2]]);
  thread(0).finish([1, 2]);
  await Promise.all(replies);
});

test('a scorer with `waits: true` gets everything at once, one with `waits: false` one at a time', async () => {
  const waiter = await createStage({ waits: true });
  const all = [1, 2, 3].map((n) => waiter.submit(n));
  await turn();
  expect(waiter.thread(0).open()).toEqual([1, 2, 3]);
  waiter.thread(0).finish([1, 2, 3]);
  await Promise.all(all);

  const burner = await createStage({ waits: false });
  burner.thread(0).isIdle = true;
  const one = [1, 2].map((n) => burner.submit(n));
  await turn();
  await look();
  expect(burner.thread(0).open()).toEqual([1]);
  burner.thread(0).finish([1]);
  await turn();
  burner.thread(0).finish([2]);
  await Promise.all(one);
});

test('quick scorings are grouped, as many as take a millisecond; slow ones are handed over singly', async () => {
  const { submit, thread } = await createStage();
  const first = submit(0);
  await turn();
  thread(0).finish([0], { eachMs: 0.25 });
  await first;
  const replies = [1, 2, 3, 4, 5, 6].map((n) => submit(n));
  await turn();
  expect(thread(0).groups).toEqual([[0], [1, 2, 3, 4]]);
  thread(0).finish([1, 2, 3, 4], { eachMs: 20 });
  await turn();
  expect(thread(0).groups.at(-1)).toEqual([5]);
  thread(0).finish([5], { eachMs: 20 });
  await turn();
  thread(0).finish([6]);
  await Promise.all(replies);
});

test('a group is at most 1 MB; a thread at its byte limit gets no more, though one body may exceed it', async () => {
  const { submit, thread } = await createStage({ waits: true, maxThreadBytes: 1_000_000 });
  const first = submit(0);
  await turn();
  thread(0).finish([0], { eachMs: 0.01 });
  await first;
  const replies = [400_000, 400_000, 2_000_000, 400_000, 1].map((size, n) => submit(n + 1, size));
  await turn();
  // The large one is handed over though it exceeds the limit; those behind it wait until it is done.
  expect(thread(0).groups.slice(1)).toEqual([[1, 2], [3]]);
  thread(0).finish([1, 2]);
  await turn();
  expect(thread(0).groups.slice(3)).toEqual([]);
  thread(0).finish([3]);
  await turn();
  expect(thread(0).groups.slice(3).flat()).toEqual([4, 5]);
  thread(0).finish([4, 5]);
  await Promise.all(replies);
});

test('a lost thread is replaced; the call that never returned fails, the others rerun before the queue', async () => {
  const { submit, all, thread } = await createStage({ waits: true });
  const replies = [1, 2, 3].map((n) => submit(n));
  await turn();
  thread(0).die({ hung: true, inCall: 2 });
  const later = submit(4);
  await turn();
  await turn();
  expect(all).toHaveLength(2);
  expect(thread(1).groups.flat()).toEqual([1, 3, 4]);
  thread(1).finish([1, 3, 4]);
  expect(await Promise.all([...replies, later])).toEqual(['scored', 'lost', 'scored', 'scored']);
});

test('a scoring that had not begun cannot have killed the thread', async () => {
  const { submit, thread } = await createStage({ waits: true });
  const replies = [1, 2, 3].map((n) => submit(n));
  await turn();
  thread(0).die({ begun: 1 });
  await turn();
  await turn();
  expect(thread(1).groups.flat()).toEqual([2, 3]);
  thread(1).finish([2, 3]);
  expect(await Promise.all(replies)).toEqual(['lost', 'scored', 'scored']);
});

test('a scoring alone in a thread that has scored others is not blamed at once', async () => {
  const { submit, all, thread } = await createStage({ waits: true });
  const before = submit(1);
  await turn();
  thread(0).finish([1]);
  await before;
  const alone = submit(2);
  await turn();
  thread(0).die();
  await turn();
  await turn();
  const fresh = all.findIndex((t) => t.open().includes(2) && t !== thread(0));
  thread(fresh).die();
  expect(await alone).toBe('lost');
});

test('a thread that dies while empty is replaced after a delay that grows each time', async () => {
  const { all, thread } = await createStage();
  thread(0).die();
  await turn();
  expect(all).toHaveLength(1);
  await vi.waitFor(() => expect(all).toHaveLength(2));
});

test('threads that cannot be terminated count: there are never more than twice as many as configured', async () => {
  const { submit, all, thread } = await createStage({ waits: true, ends: false });
  const replies = [1, 2].map((n) => submit(n));
  await turn();
  for (const i of [0, 1]) {
    thread(i).die({ hung: true, inCall: i + 1 });
    await turn();
    await turn();
  }
  const last = submit(3);
  await turn();
  expect(all).toHaveLength(2);
  expect(await Promise.all(replies)).toEqual(['lost', 'lost']);
  thread(0).letEnd();
  await turn();
  thread(2).finish([3]);
  expect(await last).toBe('scored');
});

test('when one of several kills the thread, they rerun in quarters on four threads; only that one fails', async () => {
  const { submit, all, thread } = await createStage({ waits: true });
  const replies = Array.from({ length: 12 }, (_, i) => submit(i + 1));
  await turn();
  // Out of memory: the call that was running need not be to blame.
  thread(0).die({ inCall: 12, code: 'ERR_WORKER_OUT_OF_MEMORY' });
  await turn();
  const later = submit(99);
  await turn();
  const guilty = 8;
  const rounds: number[][][] = [];
  for (let from = 1; from < all.length; ) {
    const round = all.slice(from);
    from = all.length;
    rounds.push(round.map((t) => t.open()).filter((open) => !open.includes(99)));
    for (const t of round) {
      if (t.open().includes(guilty)) t.die();
      else t.finish(t.open());
    }
    await turn();
    await turn();
  }
  expect(rounds).toEqual([
    [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
      [10, 11, 12],
    ],
    [[7], [8], [9]],
  ]);
  expect(await Promise.all([...replies, later])).toEqual(
    Array.from({ length: 13 }, (_, i) => (i + 1 === guilty ? 'lost' : 'scored')),
  );
  // The replacement of the lost thread.
  expect(all.filter(({ hasEnded }) => !hasEnded)).toHaveLength(1);
});

test('a thread with an overdue scoring is replaced and ends when empty; the others are not blamed', async () => {
  const { submit, all, thread } = await createStage({ waits: true });
  const replies = [1, 2, 3].map((n) => submit(n));
  await turn();
  thread(0).finish([1], { overdue: true });
  await turn();
  const later = submit(4);
  await turn();
  expect(all).toHaveLength(2);
  expect(thread(1).open()).toEqual([4]);
  thread(0).finish([2]);
  expect(thread(0).hasEnded).toBe(false);
  // The overdue scoring now kills its thread as well.
  thread(0).die();
  await turn();
  expect(thread(1).open()).toEqual([4, 3]);
  thread(1).finish([3, 4]);
  expect(await Promise.all([...replies, later])).toEqual(Array(4).fill('scored'));
});

test('however many scorings are overdue, there are at most twice as many threads as configured', async () => {
  const { submit, all, thread } = await createStage({ waits: true });
  const replies = [1, 2].map((n) => submit(n));
  await turn();
  thread(0).finish([1], { overdue: true });
  await turn();
  const more = [3, 4].map((n) => submit(n));
  await turn();
  thread(1).finish([3], { overdue: true });
  await turn();
  const last = submit(5);
  await turn();
  expect(all).toHaveLength(2);
  thread(0).finish([2]);
  await turn();
  expect(thread(0).hasEnded).toBe(true);
  expect(thread(2).open()).toEqual([5]);
  thread(1).finish([4]);
  thread(2).finish([5]);
  expect(await Promise.all([...replies, ...more, last])).toEqual(Array(5).fill('scored'));
});

test('close refuses waiting, running and new scorings, and tells and terminates the threads', async () => {
  const { submit, all, handOver } = await createStage({ threads: 2 });
  const ends = Promise.allSettled([1, 2, 3, 4].map((n) => submit(n)));
  await turn();
  await handOver.close(new Error('closed'));
  const after = Promise.allSettled([submit(5)]);
  expect((await Promise.all([ends, after])).flat().map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
  expect(all.map(({ heardGiveUp, hasEnded }) => [heardGiveUp, hasEnded])).toEqual([
    [true, true],
    [true, true],
  ]);
});

test('close also refuses what is being rerun apart and what a retiring thread still holds', async () => {
  const { submit, all, handOver, thread } = await createStage({ waits: true });
  const apart = Promise.allSettled([1, 2, 3, 4, 5].map((n) => submit(n)));
  await turn();
  thread(0).die();
  await turn();
  await turn();
  const [pool, search] = [
    all.findIndex((t) => t.open().length === 0 && !t.hasEnded && t !== thread(0)),
    all.findIndex((t) => t.open().length === 2),
  ];
  const leaving = Promise.allSettled([submit(6), submit(7)]);
  await turn();
  thread(pool).finish([6], { overdue: true });
  await turn();
  expect(thread(pool).open()).toEqual([7]);
  await handOver.close(new Error('closed'));
  expect((await apart).map(({ status }) => status)).toEqual(Array(5).fill('rejected'));
  expect((await leaving).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  await turn();
  expect([thread(pool).hasEnded, thread(search).hasEnded]).toEqual([true, true]);
  expect(all.slice(1).every(({ hasEnded }) => hasEnded)).toBe(true);
});

test('a thread that has scored as many as it may gives way to a successor, which is ready before', async () => {
  const { submit, all, thread } = await createStage({ wear: { maxTasks: 2, maxHeapBytes: 1_000 } });
  for (const n of [1, 2]) {
    const scored = submit(n);
    await turn();
    thread(0).finish([n]);
    await scored;
  }
  await turn();
  expect(all).toHaveLength(2);
  expect(thread(0).hasEnded).toBe(true);
  const scored = submit(3);
  await turn();
  expect(thread(1).open()).toEqual([3]);
  thread(1).finish([3]);
  expect(await scored).toBe('scored');
  await turn();
  expect(all).toHaveLength(2);
});

/** Scores enough for the thread to have a baseline of its heap. */
async function warmUp(stage: Awaited<ReturnType<typeof createStage>>): Promise<void> {
  for (let n = 100; n < 105; n++) {
    const scored = stage.submit(n);
    await turn();
    stage.thread(0).finish([n]);
    await scored;
  }
}

test('a worn thread that holds something gets nothing more, finishes it, and ends', async () => {
  const stage = await createStage({ waits: true });
  const { submit, thread } = stage;
  await warmUp(stage);
  const replies = [1, 2].map((n) => submit(n));
  await turn();
  thread(0).heapBytes = 1_000;
  thread(0).finish([1]);
  await turn();
  const third = submit(3);
  await turn();
  expect(thread(0).open()).toEqual([2]);
  expect(thread(1).open()).toEqual([3]);
  expect(thread(0).hasEnded).toBe(false);
  thread(0).finish([2]);
  expect(thread(0).hasEnded).toBe(true);
  thread(1).finish([3]);
  expect(await Promise.all([...replies, third])).toEqual(['scored', 'scored', 'scored']);
});

test('a scorer that needs most of the heap from its first scorings on is not replaced for it', async () => {
  const stage = await createStage({ wear: { maxTasks: 0, maxHeapBytes: 800 } });
  stage.thread(0).heapBytes = 900; // a model that is loaded with the first
  await warmUp(stage);
  stage.thread(0).heapBytes = 950;
  const scored = stage.submit(1);
  await turn();
  stage.thread(0).finish([1]);
  await scored;
  await turn();
  expect(stage.all).toHaveLength(1);
});

test('worn threads that still work on something never make more than twice as many', async () => {
  const stage = await createStage({ waits: true, wear: { maxTasks: 1, maxHeapBytes: 1_000 } });
  const { submit, all, thread } = stage;
  const slow: Promise<string>[] = [];
  // Each thread gets one that does not end, and one that wears it out.
  for (let n = 1; n <= 20; n += 2) {
    slow.push(submit(n));
    const quick = submit(n + 1);
    await turn();
    const at = all.findIndex((one) => one.open().includes(n + 1));
    thread(at).finish([n + 1]);
    await quick;
    await turn();
    expect(all.filter((one) => !one.hasEnded).length).toBeLessThanOrEqual(2);
  }
  for (const one of all) one.finish(one.open());
  await Promise.all(slow);
});

test('when memory is short, a successor is started when its predecessor has ended, and nothing is lost', async () => {
  const { submit, handOver, all, thread } = await createStage({ threads: 2 });
  const replies = [1, 2, 3].map((n) => submit(n));
  await turn();
  handOver.renew();
  await turn();
  expect(all).toHaveLength(2);
  thread(0).finish([1]);
  await turn();
  await turn();
  expect(thread(0).hasEnded).toBe(true);
  expect(all).toHaveLength(3);
  expect(thread(2).open()).toEqual([3]);
  thread(1).finish([2]);
  thread(2).finish([3]);
  await turn();
  await turn();
  expect(await Promise.all(replies)).toEqual(['scored', 'scored', 'scored']);
  expect([thread(0).hasEnded, thread(1).hasEnded, thread(2).hasEnded]).toEqual([true, true, false]);
  expect(all).toHaveLength(4);
});

test('a thread that takes the place of a lost one belongs to no attempt', async () => {
  const { submit, thread } = await createStage();
  startedIn.length = 0;
  const lost = await attempt.run('attempt', async () => {
    const scored = submit(1);
    await turn();
    thread(0).die({ inCall: 1 });
    return scored;
  });
  expect(lost).toBe('lost');
  await turn();
  expect(startedIn).toEqual([undefined]);
});
