import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { createOutbox } from '../../../src/outbox/index.ts';
import type { Moved } from '../../../src/outbox/ports.ts';
import { newEvent } from '../../support/new-event.ts';

const nothingMoved: Moved = { dueAt: new Date(0), moved: new Set(), held: new Set() };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('while a confirm is pending, the ids of its event are kept in memory, not its text', async () => {
  const unconfirmed: unknown[] = [];
  const outbox = createOutbox({
    publish: (message) => new Promise((...settle) => void unconfirmed.push(message, settle)),
    brokerReady: () => false,
    claimDue: async () => ({ events: [], dueAt: new Date() }),
    storeMarks: async () => nothingMoved,
    extendDue: async () => nothingMoved,
    postpone: async () => {},
    countQueues: async () => null,
    makeLostDue: async () => 0,
    graceMs: 1_000,
    intervalMs: 1_000,
    lostAfterMs: 1_000,
    log: pino({ level: 'silent' }),
  });
  const publishLarge = () => {
    const event = { ...newEvent(1), logJson: 'x'.repeat(1_000_000) };
    outbox.publishNew(event);
    return new WeakRef(event);
  };
  const event = publishLarge();
  await vi.waitFor(() => {
    collectGarbage();
    expect(event.deref() === undefined).toBe(true); // an assertion on the event itself would keep it alive
  });
  expect(unconfirmed).toHaveLength(2);
  await outbox.close(1);
});
