import { setImmediate as turn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { EventView, FindClosed } from '../../../src/report/ports.ts';
import { createClosedWatch } from '../../../src/report/watch-closed.ts';

const never = new AbortController().signal;
const closed = (id: string) => ({ conversation_id: id, status: 'PROCESSED' }) as EventView;

test('every caller waiting for a conversation gets the row that the watch has read', async () => {
  const findClosed = vi.fn<FindClosed>(async (ids) => ids.filter((id) => id !== 'c2').map(closed));
  const watch = createClosedWatch(findClosed, never);
  const gone = new AbortController();
  const [first, second, third] = ['c1', 'c1', 'c2'].map((id) => watch.untilClosed(id, 60_000, gone.signal));
  expect(await first).toEqual(closed('c1'));
  expect(await second).toEqual(closed('c1'));
  expect(findClosed).toHaveBeenCalledOnce();
  gone.abort();
  expect(await third).toBeNull();
  expect(watch.gauge.held()).toBe(0);
});

test('beyond its bound no caller waits, and each is told so', async () => {
  const end = new AbortController();
  const watch = createClosedWatch(async () => [], end.signal);
  const waiting = Array.from({ length: watch.gauge.bound }, (_, i) => watch.untilClosed(`c${i}`, 60_000, never));
  expect(watch.untilClosed('one more', 60_000, never)).toBeNull();
  end.abort();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([null]));
});

test('the end of the watch ends every wait, and none begins after it', async () => {
  const end = new AbortController();
  const watch = createClosedWatch(async () => [], end.signal);
  const waiting = watch.untilClosed('c1', 60_000, never);
  await turn();
  end.abort();
  expect(await waiting).toBeNull();
  expect(watch.untilClosed('c1', 60_000, never)).toBeNull();
});
