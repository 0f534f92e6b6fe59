import { expect, test } from 'vitest';
import { PipelineError } from '../../../src/event/fault.ts';
import { gently } from '../../../src/maintenance/gently.ts';

const away = () => new PipelineError('transient', 'DATABASE_LOCKED', 'somebody else has the row');
const context = (signal = new AbortController().signal) => ({ signal, removed: () => {} });

test('page after page, each from where the last one ended, until there is none', async () => {
  const asked: number[] = [];
  let told = 0;
  const rows = await gently(
    0,
    async (from) => {
      asked.push(from);
      return { removed: 10, next: from < 3 ? from + 1 : null };
    },
    { ...context(), removed: (n) => (told += n) },
  );
  expect({ rows, told, asked }).toEqual({ rows: 40, told: 40, asked: [0, 1, 2, 3] });
});

test('what does not pass ends it, and what was removed before was told', async () => {
  let told = 0;
  const removing = gently(
    0,
    async (from) => {
      if (from === 1) throw new Error('no right to delete');
      return { removed: 10, next: 1 };
    },
    { ...context(), removed: (n) => (told += n) },
  );
  await expect(removing).rejects.toThrow('no right to delete');
  expect(told).toBe(10);
});

test('an end is not waited for: no page begins after it', async () => {
  const stop = new AbortController();
  let pages = 0;
  const removing = gently(
    0,
    async (from) => {
      pages++;
      stop.abort(new Error('stopped'));
      throw from === 0 ? away() : new Error('a page after the end');
    },
    context(stop.signal),
  );
  await expect(removing).rejects.toThrow('stopped');
  expect(pages).toBe(1);
});
