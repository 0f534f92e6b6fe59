import { expect, test, vi } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { createGroupCommit } from '../../../src/runtime/group-commit/group-commit.ts';

/** A commit that ends when the test says so. */
function createStage(
  options: {
    maxItems?: number;
    maxWeight?: number;
    maxInFlight?: number;
    maxQueued?: number;
    sizes?: readonly number[];
    furtherFrom?: number;
    expected?: () => number;
    lingerMs?: () => number;
  } = {},
) {
  const batches: { items: readonly number[]; finish: () => void; fail: (error: Error) => void }[] = [];
  const group = createGroupCommit<number, string>({
    name: 'test',
    batch: {
      maxItems: options.maxItems ?? 100,
      ...(options.sizes && { sizes: options.sizes }),
      ...(options.maxWeight !== undefined && { weight: { max: options.maxWeight, of: (n: number) => n } }),
    },
    maxInFlight: options.maxInFlight ?? 1,
    maxQueued: options.maxQueued ?? 1_000,
    ...(options.furtherFrom !== undefined && { furtherFrom: options.furtherFrom }),
    ...(options.expected && { linger: { expected: options.expected, maxMs: options.lingerMs ?? (() => 0) } }),
    commit: (items) =>
      new Promise((resolve, reject) => {
        const finish = () =>
          resolve(
            items.map((n) =>
              n < 0 ? { status: 'rejected', reason: new Error(`bad ${n}`) } : { status: 'fulfilled', value: `ok ${n}` },
            ),
          );
        batches.push({ items, finish, fail: reject });
      }),
  });
  return { group, batches };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a lone item is committed at once; items that arrive meanwhile are batched', async () => {
  const { group, batches } = createStage();
  const first = group.submit(1);
  await turn();
  expect(batches.map((b) => b.items)).toEqual([[1]]);
  const rest = [group.submit(2), group.submit(3), group.submit(4)];
  await turn();
  expect(batches).toHaveLength(1);
  batches[0]?.finish();
  expect(await first).toBe('ok 1');
  await vi.waitFor(() => expect(batches[1]?.items).toEqual([2, 3, 4]));
  batches[1]?.finish();
  expect(await Promise.all(rest)).toEqual(['ok 2', 'ok 3', 'ok 4']);
});

test('each item has its own answer; a failed batch fails all its items, and the next one is committed', async () => {
  const { group, batches } = createStage();
  const answers = Promise.allSettled([group.submit(1), group.submit(-2), group.submit(3)]);
  await turn();
  batches[0]?.finish();
  expect((await answers).map((a) => a.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  const lost = Promise.allSettled([group.submit(4), group.submit(5)]);
  await turn();
  batches[1]?.fail(new Error('gone'));
  expect((await lost).map((a) => a.status)).toEqual(['rejected', 'rejected']);
  const next = group.submit(6);
  await turn();
  batches[2]?.finish();
  expect(await next).toBe('ok 6');
});

test('batches are bounded by count and weight; one heavy item goes alone', async () => {
  const { group, batches } = createStage({ maxItems: 3, maxWeight: 10, maxInFlight: 10 });
  for (const n of [1, 1, 1, 1, 9, 9, 50, 2]) void group.submit(n);
  await turn();
  expect(batches.map((b) => b.items)).toEqual([[1, 1, 1], [1, 9], [9], [50], [2]]);
});

test('beyond its bound it refuses at once', async () => {
  const { group } = createStage({ maxQueued: 2 });
  void group.submit(1);
  await turn();
  void group.submit(2);
  void group.submit(3);
  await expect(group.submit(4)).rejects.toMatchObject({ code: 'OVERLOADED', kind: 'transient' });
});

test('an item that misses its deadline while it waits is refused and never commits', async () => {
  const { group, batches } = createStage();
  const first = group.submit(1);
  await turn();
  const late = group.submit(2, 5);
  await expect(late).rejects.toBeInstanceOf(PipelineError);
  expect(group.queued).toBe(0);
  batches[0]?.finish();
  await first;
  await group.idle();
  expect(batches).toHaveLength(1);
});

test('with sizes, a batch takes the largest size it can fill; no item is left behind', async () => {
  const { group, batches } = createStage({ sizes: [1, 2, 4], maxItems: 4 });
  const answers = Promise.all([1, 2, 3, 4, 5, 6, 7].map((n) => group.submit(n)));
  for (let i = 0; i < 3; i++) {
    await vi.waitFor(() => expect(batches).toHaveLength(i + 1));
    batches[i]?.finish();
  }
  expect((await answers).at(-1)).toBe('ok 7');
  expect(batches.map((b) => b.items)).toEqual([[1, 2, 3, 4], [5, 6], [7]]);
});

test('while a batch is in flight, another starts only when enough items wait', async () => {
  const { group, batches } = createStage({ maxInFlight: 2, furtherFrom: 3 });
  void group.submit(1);
  await turn();
  void group.submit(2);
  void group.submit(3);
  await turn();
  expect(batches.map((b) => b.items)).toEqual([[1]]);
  void group.submit(4);
  await turn();
  expect(batches.map((b) => b.items)).toEqual([[1], [2, 3, 4]]);
  void group.submit(5);
  batches[1]?.finish();
  await turn();
  expect(batches).toHaveLength(2);
  batches[0]?.finish();
  await vi.waitFor(() => expect(batches[2]?.items).toEqual([5]));
});

test('items that come one by one while more are expected are gathered; the last of them is sent at once', async () => {
  let expected = 3;
  const { group, batches } = createStage({ expected: () => expected, lingerMs: () => 60_000 });
  const first = group.submit(1);
  await turn();
  expect(batches).toHaveLength(0); // two more are expected
  void group.submit(2);
  await turn();
  expect(batches.map((b) => b.items)).toEqual([[1, 2]]); // one more is expected
  batches[0]?.finish();
  await first;
  expected = 1;
  void group.submit(3);
  await turn();
  expect(batches[1]?.items).toEqual([3]); // none is expected
});

test('gathering ends in time even if the expected items never come', async () => {
  const { group, batches } = createStage({ expected: () => 100, lingerMs: () => 5 });
  void group.submit(1);
  await vi.waitFor(() => expect(batches.map((b) => b.items)).toEqual([[1]]));
});

test('while a batch hangs, waiting items do not wait for more to come', async () => {
  const { group, batches } = createStage({ maxInFlight: 2, furtherFrom: 20 });
  void group.submit(1); // never ends
  await turn();
  const second = group.submit(2);
  await vi.waitFor(() => expect(batches.map((b) => b.items)).toEqual([[1], [2]]));
  batches[1]?.finish();
  expect(await second).toBe('ok 2');
  const third = group.submit(3);
  await vi.waitFor(() => expect(batches[2]?.items).toEqual([3]));
  batches[2]?.finish();
  expect(await third).toBe('ok 3');
});

test('a batch limited by weight has one of the sizes, too', async () => {
  const { group, batches } = createStage({ sizes: [1, 2, 4, 8], maxItems: 8, maxWeight: 35 });
  const answers = Promise.all([10, 10, 10, 10, 10, 10].map((n) => group.submit(n)));
  for (let i = 0; i < 3; i++) {
    await vi.waitFor(() => expect(batches).toHaveLength(i + 1));
    batches[i]?.finish();
  }
  await answers;
  expect(batches.map((b) => b.items.length)).toEqual([2, 2, 2]);
});
