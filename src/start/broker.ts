import type { Publisher } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { lanes } from '../event/lane.ts';

export function topologyOf(config: Config) {
  return { queueName: config.queueName, queueType: config.queueType, maxLength: config.queueMaxLength };
}

/** Messages that wait, by lane; null if the broker cannot be asked now. */
export async function countByLane(publisher: Publisher): Promise<Readonly<Record<string, number>> | null> {
  const counts = await Promise.all(lanes.map(async (lane) => [lane, await publisher.countQueue(lane)] as const));
  if (counts.some(([, count]) => count === null)) return null;
  return Object.fromEntries(counts.map(([lane, count]) => [lane, count?.messages ?? 0]));
}

/** The same with consumers, and for dead letters, as metrics call the queues. */
export async function countQueues(publisher: Publisher) {
  const queues = [
    ['main', 'normal'],
    ['high', 'high'],
    ['low', 'low'],
    ['dead', 'dead'],
  ] as const;
  const counts = await Promise.all(
    queues.map(async ([queue, name]) => ({ queue, count: await publisher.countQueue(name) })),
  );
  return counts.some(({ count }) => count === null)
    ? null
    : counts.map(({ queue, count }) => ({ queue, messages: count?.messages ?? 0, consumers: count?.consumers ?? 0 }));
}

/** Of all lanes together; null if the broker cannot be asked now. */
export async function countTogether(publisher: Publisher): Promise<{ messages: number; consumers: number } | null> {
  const sum = { messages: 0, consumers: 0 };
  for (const lane of lanes) {
    const count = await publisher.countQueue(lane);
    if (count === null) return null;
    sum.messages += count.messages;
    sum.consumers += count.consumers;
  }
  return sum;
}
