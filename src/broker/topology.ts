import type { Channel, ChannelModel } from 'amqplib';
import { PipelineError } from '../event/fault.ts';

export type TopologyOptions = {
  readonly queueName: string;
  readonly queueType: 'quorum' | 'classic';
  readonly maxLength: number;
};

/** Names of everything that is declared; the dead-letter names follow from the queue's. */
export type Topology = { readonly queue: string; readonly deadExchange: string; readonly deadQueue: string };

export function topologyNames(queueName: string): Topology {
  const base = queueName.replace(/_processing$/, '');
  return { queue: queueName, deadExchange: `${base}_dlx`, deadQueue: `${base}_dead` };
}

/**
 * The broker's own limit on redeliveries must never decide before the database does. What counts against it differs:
 * RabbitMQ 3.10 counts every requeue, so restarts and outages would dead-letter healthy events; RabbitMQ 4 has a
 * default of 20. Attempts and unfinished starts are counted in the event's row instead.
 */
const deliveryLimit = 1_000_000;

/**
 * Declares everything, the same for every role. Runs after each connect, so a queue that vanished comes back.
 *
 * @throws {PipelineError} permanent, `TOPOLOGY_MISMATCH`, if something exists with other arguments.
 */
export async function declareTopology(model: ChannelModel, options: TopologyOptions): Promise<Topology> {
  const names = topologyNames(options.queueName);
  const quorum = options.queueType === 'quorum';
  await declare(model, names.deadExchange, (channel) =>
    channel.assertExchange(names.deadExchange, 'fanout', { durable: true }),
  );
  await declare(model, names.deadQueue, (channel) =>
    channel.assertQueue(names.deadQueue, {
      durable: true,
      // People look at dead letters and put them back; RabbitMQ 4 would drop one after 20 such looks that ended badly.
      arguments: { 'x-queue-type': options.queueType, ...(quorum && { 'x-delivery-limit': deliveryLimit }) },
    }),
  );
  await declare(model, names.queue, (channel) =>
    channel.assertQueue(names.queue, {
      durable: true,
      arguments: {
        'x-queue-type': options.queueType,
        'x-dead-letter-exchange': names.deadExchange,
        // A full queue refuses the publish; the database keeps the event until there is room.
        'x-overflow': 'reject-publish',
        'x-max-length': options.maxLength,
        ...(quorum && { 'x-delivery-limit': deliveryLimit, 'x-dead-letter-strategy': 'at-least-once' }),
      },
    }),
  );
  await declare(model, names.deadQueue, (channel) => channel.bindQueue(names.deadQueue, names.deadExchange, ''));
  return names;
}

/** One channel a declaration: a refusal closes the channel it was made on. */
async function declare(
  model: ChannelModel,
  name: string,
  assert: (channel: Channel) => Promise<unknown>,
): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => {}); // the rejected call says the same
  try {
    await assert(channel);
  } catch (cause) {
    throw (cause as { code?: unknown }).code === 406 ? mismatch(name, cause) : cause;
  }
  await channel.close();
}

function mismatch(name: string, cause: unknown): PipelineError {
  const difference = /inequivalent arg .*/.exec(String((cause as Error).message))?.[0] ?? 'other arguments';
  return new PipelineError(
    'permanent',
    'TOPOLOGY_MISMATCH',
    `${name} exists on the broker with other arguments: ${difference}\n` +
      'Either set RABBITMQ_QUEUE_TYPE and RABBITMQ_QUEUE_MAX_LENGTH to what is there, or stop the whole fleet and delete it\n' +
      `(rabbitmqctl delete_queue ${name}) or choose another RABBITMQ_QUEUE_NAME: it is declared again. Open events come back from the\n` +
      'database by themselves; FAILED ones stay there without their dead letters (`afterword dead replay --all` before, or\n' +
      '`events retry --failed` after). All processes on one database must use the same queue name: two would publish each other’s events.',
    { cause },
  );
}
