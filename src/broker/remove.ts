import { connectBroker } from './connect.ts';
import { topologyNames } from './topology.ts';

/** Deletes a queue with its dead letters, whatever is in them. */
export async function removeTopology(url: string, queueName: string, name: string): Promise<void> {
  const names = topologyNames(queueName);
  const model = await connectBroker(url, name);
  try {
    const channel = await model.createChannel();
    await channel.deleteQueue(names.queue);
    await channel.deleteQueue(names.deadQueue);
    await channel.deleteExchange(names.deadExchange);
  } finally {
    await model.close();
  }
}
