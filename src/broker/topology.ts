import type { Channel, ChannelModel } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import { type Lane, lanes } from '../event/lane.ts';
import { exitCodes } from '../runtime/exit-codes.ts';

export type TopologyOptions = {
  readonly queueName: string;
  readonly queueType: 'quorum' | 'classic';
  readonly maxLength: number;
};

/** Names of everything that is declared; the dead-letter names derive from the queue's. */
type Topology = {
  /** By lane; the normal one has the configured name. */
  readonly queues: Readonly<Record<Lane, string>>;
  readonly deadExchange: string;
  readonly deadQueue: string;
};

export function topologyNames(queueName: string): Topology {
  const base = queueName.replace(/_processing$/, '');
  return {
    queues: { high: `${queueName}_high`, normal: queueName, low: `${queueName}_low` },
    deadExchange: `${base}_dlx`,
    deadQueue: `${base}_dead`,
  };
}

/**
 * So high that the broker never decides before the database does. What counts against the limit depends on the version:
 * RabbitMQ 3.10 counts every requeue, so restarts and outages would dead-letter healthy events; RabbitMQ 4 has a
 * default of 20. Attempts and unfinished starts are counted in the event's row instead (docs/decisions/0004).
 */
const deliveryLimit = 1_000_000;

/**
 * Declares everything; the same for every role. Runs after each connect, so a queue that was deleted is created again.
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
      // Operators inspect dead letters and put them back; RabbitMQ 4 would drop one after 20 unclean returns.
      arguments: { 'x-queue-type': options.queueType, ...(quorum && { 'x-delivery-limit': deliveryLimit }) },
    }),
  );
  for (const lane of lanes)
    await declare(model, names.queues[lane], (channel) =>
      channel.assertQueue(names.queues[lane], {
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

/** Uses one channel per declaration, because a refusal closes the channel. */
async function declare(
  model: ChannelModel,
  name: string,
  assert: (channel: Channel) => Promise<unknown>,
): Promise<void> {
  const channel = await model.createChannel();
  channel.on('error', () => {}); // the rejected call reports the same error
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
      'Either set RABBITMQ_QUEUE_TYPE and RABBITMQ_QUEUE_MAX_LENGTH to the existing values; or choose another\n' +
      `RABBITMQ_QUEUE_NAME; or stop the whole fleet and delete it (rabbitmqctl delete_queue ${name}):\n` +
      'the next start declares it again. Open events come back from the database on their own; FAILED ones stay,\n' +
      'but lose their dead letters: run `afterword dead replay --all` before, or `events retry --failed` after.\n' +
      'All processes on one database must use the same queue name, or they publish each other’s events.',
    { cause, exitCode: exitCodes.config },
  );
}
