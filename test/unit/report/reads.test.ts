import { expect, test } from 'vitest';
import type { EventView } from '../../../src/report/ports.ts';
import { createReads } from '../../../src/report/reads.ts';

/** A database that answers when it is told to. */
function createDatabase() {
  const asked: (readonly string[])[] = [];
  const answers: (() => void)[] = [];
  return {
    asked,
    findEvents: (ids: readonly string[]) =>
      new Promise<EventView[]>((resolve) => {
        asked.push(ids);
        answers.push(() =>
          resolve(ids.filter((id) => id !== 'nobody').map((id) => ({ conversation_id: id }) as EventView)),
        );
      }),
    async answerAll() {
      for (let idle = 0; idle < 3; ) {
        await new Promise((resolve) => setImmediate(resolve));
        idle = answers.length === 0 ? idle + 1 : 0;
        for (const answer of answers.splice(0)) answer();
      }
    },
  };
}

test('concurrent reads share statements, and each gets its own row', async () => {
  const database = createDatabase();
  const reads = createReads({ findNewest: async () => [], ...database, atOnce: 2, deadlineMs: 60_000 });
  const ids = [...Array.from({ length: 640 }, (_, i) => `c${i}`), 'nobody', 'c7'];
  const answers = Promise.all(ids.map((id) => reads.event(id)));
  await database.answerAll();
  expect((await answers).map((event) => event?.conversation_id ?? null)).toEqual(
    ids.map((id) => (id === 'nobody' ? null : id)),
  );
  expect(database.asked.length).toBeLessThanOrEqual(12);
});

test('reports never use more connections than they are allowed', async () => {
  const database = createDatabase();
  const reads = createReads({ findNewest: async () => [], ...database, atOnce: 3, deadlineMs: 60_000 });
  let now = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const others = Array.from({ length: 50 }, () =>
    reads.bounded(async () => {
      most = Math.max(most, ++now);
      await new Promise<void>((resolve) => ends.push(resolve));
      now--;
    }),
  );
  const event = reads.event('c1');
  do {
    await new Promise((resolve) => setImmediate(resolve));
    ends.shift()?.();
  } while (ends.length > 0 || now > 0);
  await database.answerAll();
  await Promise.all([...others, event]);
  expect(most).toBe(3);
  expect(reads.gauge.held()).toBe(0);
});

test('reads beyond the bound are refused, whatever their kind', async () => {
  const reads = createReads({
    findNewest: async () => [],
    findEvents: () => new Promise(() => {}),
    atOnce: 1,
    deadlineMs: 60_000,
  });
  for (let i = 0; i < reads.gauge.bound + 200; i++) reads.event(`c${i}`).catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 200; i++) reads.bounded(() => new Promise(() => {})).catch(() => {});
  await expect(reads.bounded(async () => 1)).rejects.toMatchObject({ kind: 'transient', code: 'OVERLOADED' });
});

test('a database that does not answer: no read waits longer than its deadline, and none begins after it', async () => {
  const begun: string[] = [];
  const hangs = (name: string) => () => new Promise<never>(() => void begun.push(name));
  const reads = createReads({ findNewest: async () => [], findEvents: hangs('events'), atOnce: 1, deadlineMs: 50 });
  const all = [reads.bounded(hangs('first')), reads.bounded(hangs('second')), reads.event('c1'), reads.event('c2')];
  for (const read of all) await expect(read).rejects.toMatchObject({ kind: 'transient', code: 'DEADLINE' });
  expect(begun).toEqual(['first']);
});

test('a read whose turn comes after its deadline is not run', async () => {
  const ends: (() => void)[] = [];
  const reads = createReads({ findNewest: async () => [], findEvents: async () => [], atOnce: 1, deadlineMs: 50 });
  const first = reads.bounded(() => new Promise<void>((resolve) => ends.push(resolve)));
  let isMade = false;
  const second = reads.bounded(async () => {
    isMade = true;
  });
  await expect(first).rejects.toMatchObject({ code: 'DEADLINE' });
  await expect(second).rejects.toMatchObject({ code: 'DEADLINE' });
  for (const end of ends) end();
  await new Promise((resolve) => setImmediate(resolve));
  expect(isMade).toBe(false);
  expect(reads.gauge.held()).toBe(0);
});
