import type { Publisher } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { type Lane, lanes } from '../event/lane.ts';

export function topologyOf(config: Config) {
  return { queueName: config.queueName, queueType: config.queueType, maxLength: config.queueMaxLength };
}

type Counts = NonNullable<Awaited<ReturnType<Publisher['countQueue']>>>;

/** Null if the broker cannot be asked now. */
async function count<Q extends Lane | 'dead'>(
  publisher: Publisher,
  queues: readonly Q[],
): Promise<(Counts & { readonly queue: Q })[] | null> {
  const counts = await Promise.all(queues.map((queue) => publisher.countQueue(queue)));
  const known = counts.flatMap((one, i) => (one === null ? [] : [{ ...one, queue: queues[i] as Q }]));
  return known.length === queues.length ? known : null;
}

/** Messages that wait, by lane; null if the broker cannot be asked now. */
export async function countByLane(publisher: Publisher): Promise<Readonly<Record<string, number>> | null> {
  const counts = await count(publisher, lanes);
  return counts && Object.fromEntries(counts.map(({ queue, messages }) => [queue, messages]));
}

/** The lanes and the dead letters, as metrics name them: the normal lane had its name before there were others. */
export async function countQueues(publisher: Publisher) {
  const counts = await count(publisher, [...lanes, 'dead']);
  const named = counts?.map((one) => ({ ...one, queue: one.queue === 'normal' ? ('main' as const) : one.queue }));
  return named ?? null;
}

/** All lanes together; null if the broker cannot be asked now. */
export async function countTogether(publisher: Publisher): Promise<Counts | null> {
  const counts = await count(publisher, lanes);
  const sum = (of: 'messages' | 'consumers') => (counts ?? []).reduce((n, one) => n + one[of], 0);
  return counts && { messages: sum('messages'), consumers: sum('consumers') };
}
