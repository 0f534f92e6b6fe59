import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

/** A hand on a queue that is nobody's but ours: for measurements. */
export type OwnQueue = {
  /** Messages that wait; none that was delivered. */
  depth(): Promise<number>;
  /** Nothing is in it after that, and nothing comes back: what a consumer still holds goes too. */
  empty(): Promise<void>;
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
    async empty() {
      // Not a purge: that leaves what is delivered, and the broker returns it some time after its channel closed.
      await channel.deleteQueue(names.queue);
      await declareTopology(model, options);
    },
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
