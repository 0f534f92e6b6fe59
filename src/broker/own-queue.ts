import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

/** A hand on a queue that is nobody's but ours: for measurements. */
export type OwnQueue = {
  /** Messages that wait; none that was delivered. */
  depth(): Promise<number>;
  purge(): Promise<void>;
  /** Deletes it with its dead letters, whatever is in them, and ends the connection. */
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
      try {
        await channel.deleteQueue(names.queue);
        await channel.deleteQueue(names.deadQueue);
        await channel.deleteExchange(names.deadExchange);
      } finally {
        await model.close();
      }
    },
  };
}
