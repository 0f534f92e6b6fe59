import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createLoader } from '../../../src/consume/load.ts';
import type { LoadEvents } from '../../../src/consume/ports.ts';
import type { EventId } from '../../../src/event/event.ts';
import { PipelineError } from '../../../src/event/fault.ts';

const ref = (n: number) => ({ eventId: `e${n}` as EventId });
const idsOf = (refs: Parameters<LoadEvents>[0]) => refs.map((r) => ('eventId' in r ? r.eventId : ''));

function loader(loadEvents: LoadEvents) {
  const giveUp = new AbortController();
  return {
    giveUp,
    load: createLoader({ loadEvents, maxQueued: 100, giveUp: giveUp.signal, log: pino({ level: 'silent' }) }),
  };
}

test('an event that cannot be read is refused alone, and the rest of its batch is loaded', async () => {
  const { load } = loader(async (refs) => {
    if (idsOf(refs).includes('e5' as EventId)) throw new PipelineError('permanent', 'ROW_REFUSED', 'refused');
    return refs.map(() => null);
  });
  const loaded = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => load(ref(n))));
  expect(loaded.map((l) => l.status)).toEqual(loaded.map((_, n) => (n === 5 ? 'rejected' : 'fulfilled')));
  expect(loaded[5]).toMatchObject({ reason: { kind: 'permanent', code: 'ROW_REFUSED' } });
});

test('a batch too large to read within the deadline is read in smaller parts', async () => {
  const sizes: number[] = [];
  const { load } = loader(async (refs) => {
    sizes.push(refs.length);
    if (refs.length > 4) throw new PipelineError('transient', 'DATABASE_TIMEOUT', 'too late');
    return refs.map(() => null);
  });
  expect(await Promise.all(Array.from({ length: 16 }, (_, n) => load(ref(n))))).toEqual(Array(16).fill(null));
  expect(sizes).toEqual([16, 8, 4, 4, 8, 4, 4]);
});

test('while the database is down a batch is held whole, and is returned when the drain is over', async () => {
  const sizes: number[] = [];
  const { load, giveUp } = loader(async (refs) => {
    sizes.push(refs.length);
    if (sizes.length === 2) giveUp.abort();
    throw new PipelineError('transient', 'DATABASE_UNAVAILABLE', 'away');
  });
  const loaded = await Promise.allSettled([load(ref(1)), load(ref(2))]);
  expect(loaded).toMatchObject(
    Array(2).fill({ status: 'rejected', reason: { kind: 'transient', code: 'NOT_LOADED' } }),
  );
  expect(sizes).toEqual([2, 2]);
});
