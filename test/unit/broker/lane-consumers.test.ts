import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, ChannelModel } from 'amqplib';
import { expect, test, vi } from 'vitest';
import { createLaneConsumers } from '../../../src/broker/lanes/lane-consumers.ts';

/** The order in which things are asked of the broker decides, so the broker here is one whose answers can be held. */
function start(capacity: number) {
  const live = new Set<string>();
  let held: PromiseWithResolvers<void> | null = null;
  let questions: Promise<never> | null = null;
  const answer = async () => held?.promise;
  const channel = Object.assign(new EventEmitter(), {
    prefetch: answer,
    async consume(_queue: string, _onMessage: unknown, { consumerTag }: { consumerTag: string }) {
      live.add(consumerTag);
      await answer();
    },
    async cancel(tag: string) {
      await answer();
      live.delete(tag);
    },
  }) as unknown as Channel;
  const asking = Object.assign(new EventEmitter(), {
    checkQueue: () => questions ?? Promise.resolve({ messageCount: 0 }),
  });
  const consumers = createLaneConsumers({
    channel,
    model: { createChannel: async () => asking } as unknown as ChannelModel,
    queues: { high: 'h', normal: 'n', low: 'l' },
    lanes: ['high', 'normal', 'low'],
    weights: { high: 6, normal: 3, low: 1 },
    capacity,
    onMessage: () => {},
  });
  return {
    live,
    consumers,
    hold() {
      held = Promise.withResolvers();
      return held;
    },
    neverAnswerQuestions() {
      questions = new Promise<never>(() => {});
    },
    end: () => channel.emit('close'),
  };
}

test('an end is the last word, also if a beginning has waited before it', async () => {
  const { consumers, live, hold, end } = start(10);
  await consumers.begin();
  expect(live.size).toBe(3);
  const slow = hold();
  // Paused, resumed, and told to stop, before the broker has answered once.
  const all = [consumers.end(), consumers.begin(), consumers.end(), consumers.setCapacity(20)];
  await delay(10);
  slow.resolve();
  await Promise.all(all);
  expect([...live]).toEqual([]);
  await delay(250);
  expect([...live]).toEqual([]);
  end();
});

test('a question that is never answered keeps nobody from ending', async () => {
  // With one slot, two lanes have none, and are asked about.
  const { consumers, live, neverAnswerQuestions, end } = start(1);
  await consumers.begin();
  neverAnswerQuestions();
  await delay(250);
  await consumers.end();
  expect([...live]).toEqual([]);
  end();
});

test('a limit that was changed while nothing was taken holds from the beginning', async () => {
  const { consumers, live, end } = start(10);
  await consumers.begin();
  await consumers.end();
  await consumers.setCapacity(1);
  expect(live.size).toBe(0);
  await consumers.begin();
  await vi.waitFor(() => expect(live.size).toBe(1));
  expect(consumers.slots.reduce((n, { slots }) => n + slots, 0)).toBe(1);
  end();
});
