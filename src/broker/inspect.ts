import type { ChannelModel } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import { lanes } from '../event/lane.ts';
import type { BrokerFacts, QueueFacts } from '../operate/ports.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

const probeMs = 3_000;

/**
 * Reads what an operator should know about the broker. If part of the topology exists, the missing rest is declared, as
 * the next start would do; if none exists, none is created.
 * @throws if the broker cannot be reached.
 */
export async function inspectBroker(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  readonly name: string;
}): Promise<BrokerFacts> {
  const model = await connectBroker(options.url, options.name);
  let blocked = false;
  model.on('blocked', () => {
    blocked = true;
  });
  model.on('error', () => {});
  try {
    const names = topologyNames(options.topology.queueName);
    const queues: QueueFacts[] = [];
    for (const lane of lanes) {
      const queue = await look(model, names.queues[lane]);
      if (queue !== null) queues.push(queue);
    }
    const deadQueue = await look(model, names.deadQueue);
    // Declaring what already exists with the same arguments changes nothing; the broker names any difference.
    const mismatch = queues.length === 0 && deadQueue === null ? null : await difference(model, options.topology);
    const confirmMs = await probe(model);
    const { product, version } = (model.connection as unknown as { serverProperties: Record<string, unknown> })
      .serverProperties;
    return { product: String(product), version: String(version), queues, deadQueue, mismatch, confirmMs, blocked };
  } finally {
    await settlesWithin(
      model.close().catch(() => {}),
      2_000,
    );
  }
}

async function look(model: ChannelModel, name: string): Promise<QueueFacts | null> {
  const channel = await model.createChannel();
  channel.on('error', () => {}); // asking for a queue that does not exist closes the channel
  try {
    const { messageCount, consumerCount } = await channel.checkQueue(name);
    await channel.close();
    return { name, messages: messageCount, consumers: consumerCount };
  } catch (error) {
    if ((error as { code?: unknown }).code === 404) return null;
    throw error;
  }
}

async function difference(model: ChannelModel, topology: TopologyOptions): Promise<string | null> {
  try {
    await declareTopology(model, topology);
    return null;
  } catch (error) {
    if (error instanceof PipelineError && error.code === 'TOPOLOGY_MISMATCH') return error.message;
    throw error;
  }
}

/** Publishes a message, since the broker reports an alarm only to connections that publish. @returns milliseconds. */
async function probe(model: ChannelModel): Promise<number | null> {
  const channel = await model.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const since = performance.now();
  channel.sendToQueue(queue, Buffer.from('{}'), { persistent: true });
  const confirmed = await settlesWithin(channel.waitForConfirms(), probeMs);
  return confirmed ? Math.round(performance.now() - since) : null;
}
