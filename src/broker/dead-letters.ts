import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import { lanes } from '../event/lane.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { connectBroker } from './connect.ts';
import { topologyNames } from './topology.ts';

/** A message of the dead-letter queue, held unacknowledged until it is settled or the walk ends. */
export type DeadLetter = {
  readonly messageId: string | undefined;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  /** Why it was dead-lettered: `rejected`, `delivery_limit`, `expired` or `maxlen`; null if put there by hand. */
  readonly reason: string | null;
  /** From which it came; null if put there by hand. */
  readonly queue: string | null;
  readonly diedAt: Date | null;
};

export type DeadLetters = {
  /** Letters that are ready, not held by a walk or another consumer. */
  count(): Promise<number>;
  /**
   * Calls `visit` for the letters that are there now, oldest first, at most `limit`. Only the answer `settled` removes
   * a letter; all others go back to the queue when the walk ends, however it ends.
   */
  walk(limit: number, visit: (letter: DeadLetter) => Promise<'settled' | 'leave' | 'stop'>): Promise<void>;
  /**
   * Puts a copy of the letter on the main queue; resolves when the broker has confirmed it.
   * @throws {PipelineError} transient, if it is not confirmed.
   */
  publish(letter: DeadLetter): Promise<void>;
  /** Drops all letters that are ready. @returns how many. */
  purge(): Promise<number>;
  close(): Promise<void>;
};

const confirmMs = 10_000;

/**
 * Opens the dead-letter queue without declaring anything; a queue that does not exist has no letters. Only one process
 * may have it open at a time, because a walk holds letters that another would miss.
 *
 * @throws if the broker cannot be reached; {PipelineError} transient, `LETTERS_HELD`, if another process has it open.
 */
export async function openDeadLetters(options: {
  readonly url: string;
  readonly queueName: string;
  readonly name: string;
}): Promise<DeadLetters> {
  const model = await connectBroker(options.url, options.name);
  model.on('error', () => {}); // the pending calls fail with the same error
  const { queues, deadQueue } = topologyNames(options.queueName);
  try {
    await claim(model, `${deadQueue}_open`);
  } catch (error) {
    await end(model);
    throw error;
  }

  async function count(): Promise<number> {
    const channel = await quietChannel(model);
    try {
      const { messageCount } = await channel.checkQueue(deadQueue);
      await channel.close();
      return messageCount;
    } catch (error) {
      if ((error as { code?: unknown }).code === 404) return 0;
      throw error;
    }
  }

  return {
    count,

    async walk(limit, visit) {
      // Letters that arrive during the walk (a replay that fails again) are left to the next one.
      const most = Math.min(limit, await count());
      if (most === 0) return;
      const channel = await quietChannel(model);
      try {
        for (let n = 0; n < most; n++) {
          const message = await channel.get(deadQueue);
          if (message === false) return;
          const verdict = await visit(toLetter(message));
          if (verdict === 'settled') channel.ack(message);
          if (verdict === 'stop') return;
        }
      } finally {
        await giveBack(channel);
      }
    },

    async publish(letter) {
      const channel = await model.createConfirmChannel();
      channel.on('error', () => {});
      let returned = false;
      channel.on('return', () => {
        returned = true;
      });
      // Back to where it came from; a letter of others goes to the normal lane.
      const own = lanes.find((lane) => queues[lane] === letter.queue) ?? 'normal';
      channel.publish('', queues[own], letter.body, {
        persistent: true,
        mandatory: true,
        ...(letter.messageId !== undefined && { messageId: letter.messageId }),
        ...(letter.contentType !== undefined && { contentType: letter.contentType }),
      });
      const confirmed = channel.waitForConfirms().then(
        () => !returned,
        () => false,
      );
      const good = (await settlesWithin(confirmed, confirmMs)) && (await confirmed);
      // Not awaited: a blocked broker does not answer the close.
      channel.close().catch(() => {});
      if (!good) {
        throw new PipelineError(
          'transient',
          'NOT_CONFIRMED',
          'the broker did not confirm the replay; the letter stays where it is',
        );
      }
    },

    async purge() {
      const channel = await quietChannel(model);
      const { messageCount } = await channel.purgeQueue(deadQueue);
      await channel.close();
      return messageCount;
    },

    close: () => end(model),
  };
}

/** Uses an exclusive queue as a lock: it disappears with the connection, however that ends. */
async function claim(model: ChannelModel, flag: string): Promise<void> {
  const channel = await quietChannel(model);
  try {
    await channel.assertQueue(flag, { exclusive: true, durable: false });
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 405) throw cause;
    throw new PipelineError(
      'transient',
      'LETTERS_HELD',
      'another tool has the dead letters open; try again when it is done',
      { cause },
    );
  }
}

/** Gives letters back by a nack, because closing the channel would count against the delivery limit. */
async function giveBack(channel: Channel): Promise<void> {
  try {
    channel.nackAll(true);
  } catch {
    return; // closed: the broker has already requeued them
  }
  await settlesWithin(
    channel.close().catch(() => {}),
    2_000,
  );
}

/** Without a listener, a channel error would end the connection; the failed call reports the same error. */
async function quietChannel(model: ChannelModel): Promise<Channel> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  return channel;
}

async function end(model: ChannelModel): Promise<void> {
  await settlesWithin(
    model.close().catch(() => {}),
    2_000,
  );
}

function toLetter(message: GetMessage): DeadLetter {
  const { messageId, contentType, headers } = message.properties as {
    messageId?: unknown;
    contentType?: unknown;
    headers?: { 'x-death'?: { reason?: unknown; queue?: unknown; time?: { value?: unknown } }[] };
  };
  const death = headers?.['x-death']?.[0];
  const seconds = Number(death?.time?.value);
  return {
    messageId: typeof messageId === 'string' ? messageId : undefined,
    contentType: typeof contentType === 'string' ? contentType : undefined,
    body: message.content,
    reason: typeof death?.reason === 'string' ? death.reason : null,
    queue: typeof death?.queue === 'string' ? death.queue : null,
    diedAt: Number.isFinite(seconds) ? new Date(seconds * 1_000) : null,
  };
}
