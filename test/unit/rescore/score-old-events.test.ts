import { expect, test } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import type { Outcome } from '../../../src/event/outcome.ts';
import { scoreOldEvents } from '../../../src/rescore/index.ts';
import type { OldEvent, Rescore, ScoredPage } from '../../../src/rescore/ports.ts';

const idOf = (n: number) => String(n).padStart(4, '0') as EventId;
const old = (n: number): OldEvent => ({
  eventId: idOf(n),
  userId: 'u',
  change: 1,
  details: { by: 'old', parts: { a: 1, b: 2 } },
  text: n % 10 === 9 ? null : [Buffer.from(String(n))],
});
const run = (more: Partial<Rescore> = {}): Rescore => ({
  ...{ id: 1, scorer: 's', actor: 'a', state: 'scoring', undoes: null, undoneBy: null },
  ...{ firstId: idOf(0), nextId: idOf(9_999), most: null },
  ...{ lookedAt: 0, unchanged: 0, withoutText: 0, startedAt: new Date() },
  ...more,
});
const scored = (change: number, details: object): Outcome => ({
  ...{ kind: 'scored', change, totalTurns: 0 },
  detailsJson: JSON.stringify(details),
});

async function scoreAll(
  events: number,
  score: (n: number) => Outcome | Promise<Outcome>,
  { from = run(), stop = new AbortController() } = {},
) {
  const pages: ScoredPage[] = [];
  let [underWay, most] = [0, 0];
  const isDone = await scoreOldEvents(from, {
    readPage: async ({ nextId, firstId, size }) =>
      Array.from({ length: events }, (_, i) => old(events - 1 - i))
        .filter(({ eventId }) => eventId < nextId && eventId >= firstId)
        .slice(0, size),
    async score([text]) {
      most = Math.max(most, ++underWay);
      try {
        return await score(Number(text?.toString()));
      } finally {
        underWay--;
      }
    },
    keep: async (page) => void pages.push(page),
    concurrency: 7,
    maxAttempts: 3,
    delayMs: () => 1,
    stop: stop.signal,
    onProgress: () => {},
  });
  return { isDone, pages, most };
}
const total = (pages: readonly ScoredPage[], of: 'lookedAt' | 'unchanged' | 'withoutText') =>
  pages.reduce((sum, page) => sum + page[of], 0);

test('every event once, the newest first, a few at a time', async () => {
  const { isDone, pages, most } = await scoreAll(450, async (n) => {
    await new Promise(setImmediate);
    return scored(n, {});
  });
  expect(isDone).toBe(true);
  expect(pages.map(({ isLast }) => isLast)).toEqual([false, false, true]);
  expect([total(pages, 'lookedAt'), total(pages, 'withoutText')]).toEqual([450, 45]);
  expect(pages.flatMap(({ judgements }) => judgements.map(({ eventId }) => eventId)).sort()).toEqual(
    Array.from({ length: 450 }, (_, n) => idOf(n)).filter((_, n) => n % 10 !== 9),
  );
  expect(pages[0]?.nextId).toBe(idOf(250));
  expect(most).toBe(7);
});

test('it goes on from where it was, and ends at its limit and its beginning', async () => {
  const { pages } = await scoreAll(450, (n) => scored(n, {}), {
    from: run({ nextId: idOf(300), firstId: idOf(20), most: 250, lookedAt: 150 }),
  });
  expect(total(pages, 'lookedAt')).toBe(100);
  expect(pages.at(-1)).toMatchObject({ nextId: idOf(200), isLast: true });
  const rest = await scoreAll(450, (n) => scored(n, {}), { from: run({ nextId: idOf(30), firstId: idOf(20) }) });
  expect(total(rest.pages, 'lookedAt')).toBe(10);
});

test('another order of fields is no difference; the same points with other details are one', async () => {
  const { pages } = await scoreAll(3, (n) =>
    scored(1, n === 0 ? { parts: { b: 2, a: 1 }, by: 'old' } : { by: 'new', parts: { a: 1, b: 2 } }),
  );
  expect(total(pages, 'unchanged')).toBe(1);
  expect(pages[0]?.judgements).toHaveLength(2);
});

test('what fails for a moment is tried as often as a worker would, what fails for good is kept as such', async () => {
  const tries = new Map<number, number>();
  const failed = (permanent: boolean): Outcome => ({ kind: 'failed', permanent, code: 'NO', details: '' });
  const { pages } = await scoreAll(4, (n) => {
    tries.set(n, (tries.get(n) ?? 0) + 1);
    if (n === 0) return failed(true);
    if (n === 1) return failed(false);
    return n === 2 && tries.get(n) === 1 ? failed(false) : scored(n, {});
  });
  expect(Object.fromEntries(tries)).toEqual({ 0: 1, 1: 3, 2: 2, 3: 1 });
  const results = Object.fromEntries(pages.flatMap((p) => p.judgements).map((j) => [Number(j.eventId), j.result.kind]));
  expect(results).toEqual({ 0: 'failed', 1: 'failed', 2: 'scored', 3: 'scored' });
});

test('stopped in the middle of a page, it keeps nothing of that page', async () => {
  const stop = new AbortController();
  const { isDone, pages } = await scoreAll(
    450,
    (n) => {
      if (n === 230) stop.abort();
      return scored(n, {});
    },
    { stop },
  );
  expect(isDone).toBe(false);
  expect(pages.map((page) => page.lookedAt)).toEqual([200]);
});
