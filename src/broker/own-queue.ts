import { lanes } from '../event/lane.ts';
import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

/** A queue that no other process uses, for measurements. */
export type OwnQueue = {
  /** Messages that are ready; those delivered and not yet acknowledged do not count. */
  depth(): Promise<number>;
  /** Empties it for certain: messages that a consumer still holds do not come back. */
  empty(): Promise<void>;
  /** Deletes it and its dead letters, and closes the connection. @throws if the broker cannot be reached. */
  remove(): Promise<void>;
};

/** Declares the queue. @throws {PipelineError} or amqplib's error if the broker is away or refuses. */
export async function createOwnQueue(url: string, options: TopologyOptions, name: string): Promise<OwnQueue> {
  const names = topologyNames(options.queueName);
  const model = await connectBroker(url, name);
  model.on('error', () => {}); // the pending call fails with the same error
  try {
    await declareTopology(model, options);
  } catch (error) {
    await model.close().catch(() => {});
    throw error;
  }
  const channel = await model.createChannel();
  channel.on('error', () => {});
  return {
    depth: async () => (await channel.checkQueue(names.queues.normal)).messageCount,
    async empty() {
      // Not a purge: it leaves delivered messages, which the broker requeues some time after their channel closes.
      for (const lane of lanes) await channel.deleteQueue(names.queues[lane]);
      await declareTopology(model, options);
    },
    async remove() {
      await model.close().catch(() => {});
      // The first connection may not have lived as long as the queue.
      const last = await connectBroker(url, name);
      try {
        const deleting = await last.createChannel();
        for (const lane of lanes) await deleting.deleteQueue(names.queues[lane]);
        await deleting.deleteQueue(names.deadQueue);
        await deleting.deleteExchange(names.deadExchange);
      } finally {
        await last.close();
      }
    },
  };
}
