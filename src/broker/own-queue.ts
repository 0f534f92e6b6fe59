import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

/** A hand on a queue that is nobody's but ours: for measurements. */
export type OwnQueue = {
  /** Messages that wait; none that was delivered. */
  depth(): Promise<number>;
  purge(): Promise<void>;
  /** Deletes it with its dead letters, whatever is in them, and ends the connection. @throws if the broker is away. */
  remove(): Promise<void>;
};

/** Declares it. @throws {PipelineError} or the library's error if the broker is away or refuses. */
export async function createOwnQueue(url: string, options: TopologyOptions, name: string): Promise<OwnQueue> {
  const names = topologyNames(options.queueName);
  const model = await connectBroker(url, name);
  model.on('error', () => {}); // the call that is under way fails with it
  try {
    await declareTopology(model, options);
  } catch (error) {
    await model.close().catch(() => {});
    throw error;
  }
  const channel = await model.createChannel();
  channel.on('error', () => {});
  return {
    depth: async () => (await channel.checkQueue(names.queue)).messageCount,
    purge: async () => void (await channel.purgeQueue(names.queue)),
    async remove() {
      await model.close().catch(() => {});
      // The first connection may not have lived as long as the queue.
      const last = await connectBroker(url, name);
      try {
        const deleting = await last.createChannel();
        await deleting.deleteQueue(names.queue);
        await deleting.deleteQueue(names.deadQueue);
        await deleting.deleteExchange(names.deadExchange);
      } finally {
        await last.close();
      }
    },
  };
}
