import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Given, startThread, type ThreadEnd } from '../../../src/score/thread.ts';
import type { Replies } from '../../../src/score/thread-entry.ts';

/** One real thread, with the obedient scorer in it. */
async function start({ timeoutMs = 5_000 } = {}) {
  const replied: number[] = [];
  const ends: ThreadEnd[] = [];
  const thread = await startThread(
    {
      entry: new URL('../../../src/score/thread-entry.ts', import.meta.url),
      scorerUrl: pathToFileURL(fileURLToPath(new URL('../../fixtures/obedient-scorer.ts', import.meta.url))).href,
      weights: { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5, pronunciation: 0 },
      timeoutMs,
      memoryMb: 64,
      heapAlarmBytes: 50_000_000,
    },
    { onReplies: ({ ids }: Replies) => replied.push(...ids), onEnd: (end) => ends.push(end) },
    new AbortController().signal,
  );
  onTestFinished(() => thread.end());
  let id = 0;
  const give = (...orders: readonly object[]) => thread.give(orders.map((metadata) => given(++id, metadata)));
  return { thread, give, replied, ends };
}

function given(id: number, metadata: object): Given {
  const text = Buffer.from(JSON.stringify({ conversation_id: 'c', metadata, conversation_log: [] }));
  // In pieces, as it arrives from the database.
  return { id, text: [text.subarray(0, 10), text.subarray(10)], bytes: text.length };
}

test('is idle only once everything it was given has begun and is waiting', async () => {
  const { thread, give, replied } = await start();
  give({ act: 'wait', ms: 1_000 });
  await vi.waitFor(() => expect(thread.isIdle()).toBe(true), { interval: 1 });
  give({ act: 'burn', ms: 200 });
  // Its loop may still be idle at this moment, but it has not picked up the new one.
  expect(thread.isIdle()).toBe(false);
  await vi.waitFor(() => expect(replied).toEqual([2]), { timeout: 5_000 });
  await vi.waitFor(() => expect(thread.isIdle()).toBe(true), { interval: 1 });
});

test('reports how it ended: how many had begun, and whether a call had not returned', async () => {
  const { give, ends } = await start();
  give({ act: 'wait', ms: 2_000 }, { act: 'exit' }, {}, {});
  await vi.waitFor(() => expect(ends).toEqual([{ hung: false, code: null, begun: 2, running: true }]), {
    timeout: 5_000,
  });
});

test('a blocked event loop is told apart from one that turns slowly', async () => {
  const slow = await start({ timeoutMs: 300 });
  // Longer than the deadline in total, but its loop turns in between.
  slow.give({ act: 'burn-turning', ms: 100 });
  await vi.waitFor(() => expect(slow.replied).toEqual([1]), { timeout: 5_000 });
  expect(slow.ends).toEqual([]);
  const still = await start({ timeoutMs: 300 });
  still.give({ act: 'wait', ms: 5_000 }, { act: 'hang' });
  await vi.waitFor(() => expect(still.ends).toEqual([{ hung: true, code: null, begun: 2, running: true }]), {
    timeout: 10_000,
  });
});
