import { expect, vi } from 'vitest';
import { openBroker } from '../../support/broker.ts';
import { rows } from '../../support/client.ts';
import type { Fault, Scene } from './fault.ts';

/** Unwanted messages in the queue, and conversations that harm the scorer. */
export const messageFaults: readonly Fault[] = [
  {
    name: 'every event delivered four times',
    async strike({ fleet, traffic, whileBroken }) {
      const hand = await openBroker(fleet.servers.broker.url);
      await traffic.more(20);
      const events = [...traffic.accepted].slice(-60);
      for (let i = 0; i < 3; i++) {
        for (const [conversation_id, { eventId }] of events) {
          hand.publish(fleet.space.queue, i % 2 ? { conversation_id } : { event_id: eventId, conversation_id }, {
            messageId: eventId,
          });
        }
      }
      await hand.close();
      await whileBroken();
    },
  },
  {
    name: 'garbage on the queue',
    async strike({ fleet, whileBroken }) {
      const hand = await openBroker(fleet.servers.broker.url);
      const { queue, deadQueue } = fleet.space;
      const before = await hand.depth(deadQueue);
      const unknown = '019a0000-0000-7000-8000-000000000000';
      const garbage: [unknown, { messageId?: string; contentType?: string }?][] = [
        ['not json'],
        ['{"conversation_id":'],
        [Buffer.from([0xff, 0xfe, 0x00, 0x80])],
        ['null'],
        ['[]'],
        ['"text"'],
        [{}],
        [{ conversation_id: 7 }],
        [{ event_id: unknown }],
        [{ conversation_id: 'nobody knows it' }],
        [{ event_id: unknown, conversation_id: 'x', conversation_log: 'not a list' }, { messageId: unknown }],
        [Buffer.alloc(10 * 1_024 * 1_024, 0x61)],
        ['<xml/>', { contentType: 'text/xml' }],
        ['', { messageId: unknown }],
      ];
      for (const [body, properties] of garbage) hand.publish(queue, body, properties);
      await whileBroken();
      await vi.waitFor(
        async () => expect(await hand.depth(deadQueue)).toBeGreaterThanOrEqual(before + garbage.length),
        {
          timeout: 30_000,
          interval: 100,
        },
      );
      await hand.close();
    },
  },
  {
    name: "older publishers' bodies: only the conversation's id",
    async strike({ fleet, traffic, whileBroken }) {
      const hand = await openBroker(fleet.servers.broker.url);
      // This is their first delivery: we have not published the events ourselves.
      await fleet.network.broker.refuse();
      const before = traffic.accepted.size;
      await traffic.more(30);
      for (const conversation_id of [...traffic.accepted.keys()].slice(before))
        hand.publish(fleet.space.queue, { conversation_id });
      await whileBroken();
      await fleet.network.broker.restore();
      await hand.close();
    },
  },
  ...(
    [
      ['a scorer that throws every time', { act: 'throw' }, 3, true],
      ['a scorer that hangs', { act: 'hang' }, 2, true],
      ['a scorer that eats memory without end', { act: 'eat' }, 2, true],
      ['a scorer that calls process.exit', { act: 'exit' }, 2, true],
      ['a scorer that answers nonsense', { act: 'nothing' }, 2, true],
      ['a scorer that kills its process each time (poison)', { act: 'kill' }, 1, true],
    ] as const
  ).map(
    ([name, metadata, n, fails]): Fault => ({
      name,
      async strike(scene) {
        const ids = await misbehaving(scene, 'odd', metadata, n, fails);
        await scene.whileBroken();
        await ended(scene, ids);
      },
    }),
  ),
  ...(
    [
      ['a scoring that heeds its abort', { act: 'wait', ms: 60_000 }],
      ['a scoring that ignores its abort', { act: 'deaf', ms: 60_000 }],
      ['a scoring that hangs after it has waited', { act: 'hang', after: 200 }],
      ['a scoring that ends its thread after it has waited', { act: 'exit', after: 200 }],
      ['a scoring that eats memory after it has waited', { act: 'eat', after: 200 }],
    ] as const
  ).map(
    ([name, metadata]): Fault => ({
      name: `${name}, in the same thread as others that wait`,
      async strike(scene) {
        const company = await misbehaving(scene, 'company', { act: 'wait', ms: 900 }, 8, false);
        const guilty = await misbehaving(scene, 'odd', metadata, 1, true);
        await scene.whileBroken();
        await ended(scene, [...guilty, ...company]);
        // It cost no other event an attempt.
        expect(await attemptsOf(scene, company)).toEqual(company.map(() => 0));
      },
    }),
  ),
  {
    name: 'a scorer that throws for a moment',
    async strike(scene) {
      // Longer than it takes until the first attempt, shorter than MAX_ATTEMPTS with their delays.
      const ids = await misbehaving(scene, 'odd', { act: 'not-yet', until: Date.now() + 350 }, 4, false);
      await scene.whileBroken();
      await ended(scene, ids);
    },
  },
  {
    name: 'scores that fall below zero',
    async strike({ traffic, stream, whileBroken }) {
      const [sample] = [...traffic.accepted.values()];
      const scolded = Array.from({ length: 12 }, (_, i) => ({
        ...sample?.body,
        conversation_id: `${stream}_scolded_${i}`,
        user_id: `${stream}_user_scolded`,
        ...(i % 3 === 0 && { metadata: { act: 'scold' } }),
      }));
      for (const body of scolded) await traffic.send(body);
      await whileBroken();
    },
  },
];

/** Sends conversations whose scoring does what their metadata say. @returns their ids. */
async function misbehaving(
  { traffic, stream, failing }: Scene,
  name: string,
  metadata: object,
  n: number,
  fails: boolean,
): Promise<string[]> {
  const [sample] = [...traffic.accepted.values()];
  const bodies = Array.from({ length: n }, (_, i) => ({
    ...sample?.body,
    conversation_id: `${stream}_${name}_${i}`,
    user_id: `${stream}_user_${name}`,
    metadata,
  }));
  for (const body of bodies) {
    if (fails) failing.add(body.conversation_id);
    await traffic.send(body);
  }
  return bodies.map((body) => body.conversation_id);
}

async function attemptsOf({ fleet }: Scene, ids: readonly string[]): Promise<number[]> {
  const found = await rows<{ n: number }>(
    fleet.space.database,
    'SELECT attempt_count AS n FROM conversation_events WHERE conversation_id IN (?)',
    [ids],
  );
  return found.map(({ n }) => n);
}

async function ended({ fleet }: Scene, ids: readonly string[]): Promise<void> {
  await vi.waitFor(
    async () => {
      const open = await rows(
        fleet.space.database,
        "SELECT 1 FROM conversation_events WHERE conversation_id IN (?) AND status IN ('PENDING', 'PROCESSING')",
        [ids],
      );
      expect(open).toEqual([]);
    },
    { timeout: 90_000, interval: 200 },
  );
}
