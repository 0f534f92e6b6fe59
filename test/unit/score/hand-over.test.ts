import { expect, test } from 'vitest';
import { createHandOver } from '../../../src/score/hand-over.ts';

const body = (n: number, size = 1) => new Uint8Array(size).fill(n);
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Threads whose end the test decides. A message that is scored replies its first byte. */
function createStage({ threads = 1 } = {}) {
  const groups: { items: readonly number[]; finish: (eachMs: number) => void; die: () => void }[] = [];
  const handOver = createHandOver<number>({
    threads,
    run: (bodies) =>
      new Promise((resolve, reject) => {
        const items = bodies.map((bytes) => bytes[0] ?? 0);
        groups.push({
          items,
          finish: (eachMs) => resolve({ replies: items, tookMs: eachMs * items.length }),
          die: () => reject(new Error('worker exited')),
        });
      }),
  });
  return { groups, handOver, shapes: () => groups.map(({ items }) => items) };
}

/** So that the stage knows how long a message takes. */
async function warm({ groups, handOver }: ReturnType<typeof createStage>, eachMs: number): Promise<void> {
  const first = handOver.submit(body(0));
  await turn();
  groups[0]?.finish(eachMs);
  await first;
  groups.length = 0;
}

test('as long as nobody knows how long a message takes, and where it takes long, each goes to a thread by itself', async () => {
  const stage = createStage({ threads: 2 });
  const replies = [1, 2, 3].map((n) => stage.handOver.submit(body(n)));
  await turn();
  expect(stage.shapes()).toEqual([[1], [2]]);
  stage.groups[0]?.finish(5);
  await turn();
  expect(stage.shapes()).toEqual([[1], [2], [3]]);
  for (const group of stage.groups) group.finish(5);
  expect(await Promise.all(replies)).toEqual([1, 2, 3]);
});

test('quick ones go together, as many as take a millisecond, and each gets its own reply', async () => {
  const stage = createStage();
  await warm(stage, 0.25);
  const replies = [1, 2, 3, 4, 5, 6].map((n) => stage.handOver.submit(body(n)));
  await turn();
  expect(stage.shapes()).toEqual([[1, 2, 3, 4]]);
  stage.groups[0]?.finish(0.25);
  await turn();
  expect(stage.shapes()).toEqual([
    [1, 2, 3, 4],
    [5, 6],
  ]);
  stage.groups[1]?.finish(0.25);
  expect(await Promise.all(replies)).toEqual([1, 2, 3, 4, 5, 6]);
});

test('messages that become slow are handed over singly again', async () => {
  const stage = createStage();
  await warm(stage, 0.1);
  const replies = Array.from({ length: 12 }, (_, n) => stage.handOver.submit(body(n)));
  await turn();
  stage.groups[0]?.finish(20);
  await turn();
  expect(stage.shapes()[1]).toHaveLength(1);
  stage.groups[1]?.finish(20);
  await turn();
  stage.groups[2]?.finish(20);
  await Promise.all(replies);
});

test('a thread that ends takes nobody along: its group is run again one by one, before others, and only the guilty one is told', async () => {
  const stage = createStage();
  await warm(stage, 0.1);
  const replies = Promise.allSettled([1, 2, 3].map((n) => stage.handOver.submit(body(n))));
  await turn();
  const later = stage.handOver.submit(body(4));
  stage.groups[0]?.die();
  await turn();
  stage.groups[1]?.finish(0.1);
  await turn();
  stage.groups[2]?.die();
  await turn();
  stage.groups[3]?.finish(0.1);
  await turn();
  stage.groups[4]?.finish(0.1);
  expect(stage.shapes()).toEqual([[1, 2, 3], [1], [2], [3], [4]]);
  expect((await replies).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await later).toBe(4);
});

test('a group is at most a megabyte; a larger message goes alone', async () => {
  const stage = createStage();
  await warm(stage, 0.01);
  const sizes = [400_000, 400_000, 400_000, 2_000_000, 1];
  const replies = sizes.map((size, n) => stage.handOver.submit(body(n, size)));
  for (let i = 0; i < 4; i++) {
    await turn();
    stage.groups[i]?.finish(0.01);
  }
  expect(stage.shapes()).toEqual([[0, 1], [2], [3], [4]]);
  await Promise.all(replies);
});

test('after the close nothing waits for ever: what waits, what runs and what comes is refused', async () => {
  const stage = createStage();
  await warm(stage, 0.1);
  const ends = Promise.allSettled([1, 2].map((n) => stage.handOver.submit(body(n))));
  await turn();
  const waiting = Promise.allSettled([stage.handOver.submit(body(3))]);
  stage.handOver.close(new Error('closed'));
  stage.groups[0]?.die();
  const after = Promise.allSettled([stage.handOver.submit(body(4))]);
  const all = (await Promise.all([ends, waiting, after])).flat();
  expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected']);
  await turn();
  expect(stage.shapes()).toEqual([[1, 2]]);
});
