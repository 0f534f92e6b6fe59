import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createLogger } from '../../../src/runtime/log.ts';
import type { ClaimedDelivery, DueEndpoint } from '../../../src/webhooks/ports.ts';
import { startSender } from '../../../src/webhooks/sender.ts';

/** Endpoints to which there is always more to send. @param answers  how each answers, by its id. */
function startBacklog(ids: readonly string[], answers: (id: string) => Promise<number>) {
  const sent = new Map(ids.map((id) => [id, 0]));
  const returned: number[] = [];
  let next = 1;
  const delivery = (): ClaimedDelivery => ({
    deliveryId: next++,
    type: 'conversation.processed',
    attemptCount: 1,
    attempts: [],
    createdAt: new Date(),
    event: {},
    detail: null,
  });
  const failingSince = new Map<string, Date>();
  const sender = startSender({
    findDue: async () =>
      ids.map((endpointId): DueEndpoint => {
        return { endpointId, url: endpointId, secrets: [], failingSince: failingSince.get(endpointId) ?? null };
      }),
    claim: async (_, limit) => Array.from({ length: limit }, delivery),
    async record({ endpointId }, _delivery, _attempt, { kind }) {
      if (kind === 'delivered') failingSince.delete(endpointId);
      else failingSince.set(endpointId, new Date());
    },
    giveBack: async ({ deliveryId }) => void returned.push(deliveryId),
    async send({ url }) {
      const status = await answers(url).catch(() => null);
      sent.set(url, (sent.get(url) ?? 0) + 1);
      return { status, error: status === 204 ? null : 'no', ms: 0, retryAfterMs: 0 };
    },
    log: createLogger({ role: 'test', level: 'silent', format: 'json' }),
  });
  return { sender, sent, returned, next: () => next };
}

test('endpoints that are slow for as long as there is something to send keep nobody waiting', async () => {
  const [slow, quick] = [
    Array.from({ length: 60 }, (_, i) => `slow${i}`),
    Array.from({ length: 40 }, (_, i) => `q${i}`),
  ];
  const end = Promise.withResolvers<number>();
  const { sender, sent } = startBacklog([...slow, ...quick], (id) =>
    id.startsWith('slow') ? end.promise : delay(5, 204),
  );
  await vi.waitFor(() => expect(quick.filter((id) => (sent.get(id) ?? 0) < 20)).toEqual([]), { timeout: 20_000 });
  end.resolve(204);
  await sender.close(5_000);
});

test('one that fails is tried once a second at most, however much is due to it', async () => {
  const began = performance.now();
  const { sender, sent } = startBacklog(['dead', 'well'], async (id) => {
    await delay(1);
    if (id === 'dead') throw new Error('refused');
    return 204;
  });
  await vi.waitFor(() => expect(sent.get('well')).toBeGreaterThan(500), { timeout: 20_000 });
  // Five at once before anybody knew, and one more that shows that it fails again.
  expect(sent.get('dead')).toBeLessThanOrEqual(6 + (performance.now() - began) / 1_000);
  await sender.close(5_000);
});

test('what is cut off by the end is given back: it has used no attempt', async () => {
  const cut = Promise.withResolvers<number>();
  const { sender, returned, next } = startBacklog(['one'], () => cut.promise);
  await vi.waitFor(() => expect(next()).toBeGreaterThan(5));
  const closing = sender.close(5_000);
  cut.reject(new Error('closed'));
  await closing;
  expect(returned.toSorted()).toEqual([1, 2, 3, 4, 5]);
});
