import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { rows } from '../support/client.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { type Listener, proveTold, registerListeners, untilTold } from '../support/told.ts';
import { startTraffic } from '../support/traffic.ts';
import { webhookFaults } from './catalogue/webhooks.ts';

/** Whoever wants to know of a conversation is told: one delivery each, however often it has to be made. */

let fleet: Fleet;
let receivers: Receiver[];
let listeners: Listener[];
const lines: string[] = [];

beforeAll(async () => {
  fleet = await startFleet({ workers: 2, env: { WEBHOOK_ALLOW: '127.0.0.1' } });
  receivers = [await startReceiver(), await startReceiver()];
  listeners = await registerListeners(fleet, receivers);
});
afterAll(async () => {
  const { codes, connections, leaked } = await fleet.stop();
  for (const receiver of receivers) await receiver[Symbol.asyncDispose]();
  process.stdout.write(
    ['', '| fault | closed | told | not once | unheard | s |', '|---|--:|--:|--:|--:|--:|', ...lines, ''].join('\n'),
  );
  expect(codes).toEqual([0, 0, 0]);
  expect(connections).toEqual([]);
  expect(leaked).toEqual([]);
});

test.each(webhookFaults.map((fault, i) => [fault.name, fault, `w${i}`] as const))('%s', async (name, fault, stream) => {
  const began = performance.now();
  const told = receivers.map(({ received }) => received.length);
  const traffic = startTraffic({ url: fleet.url, stream, rate: 20, users: 6 });
  const [steady, troubled] = listeners as [Listener, Listener];
  try {
    await traffic.more(10);
    await fault.strike({ fleet, traffic, steady, troubled });
  } finally {
    troubled.receiver.behave(null);
    await traffic.stop();
  }
  const open = "SELECT event_id FROM conversation_events WHERE status IN ('PENDING', 'PROCESSING') LIMIT 5";
  await vi.waitFor(async () => expect(await rows(fleet.space.database, open)).toEqual([]), { timeout: 90_000 });
  await untilTold(fleet);

  const proofs = await Promise.all(listeners.map((listener) => proveTold(fleet, listener, stream)));
  const messages = receivers.reduce((n, { received }, i) => n + received.length - (told[i] ?? 0), 0);
  const [notOnce, unheard] = [proofs.flatMap((p) => p.notOnce).length, proofs.flatMap((p) => p.unheard).length];
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  lines.push(`| ${name} | ${proofs[0]?.closed} | ${messages} | ${notOnce} | ${unheard} | ${seconds} |`);
  expect(traffic.strange).toEqual([]);
  const mayMiss = fault.mayMiss ? { notOnce: expect.any(Array) } : {};
  const nothing = { notOnce: [], undelivered: [], unheard: [], forged: [] };
  expect(proofs).toEqual([
    { closed: traffic.accepted.size, ...nothing },
    { closed: traffic.accepted.size, ...nothing, ...mayMiss },
  ]);
});
