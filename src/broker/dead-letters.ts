import type { GetMessage } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { connectBroker } from './connect.ts';
import { declareTopology, type TopologyOptions } from './topology.ts';

/** A message in the dead-letter queue, in our hands until it is settled or the walk ends. */
export type DeadLetter = {
  readonly messageId: string | undefined;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  /** Why it died: `rejected`, `delivery_limit`, `expired` or `maxlen`; null if it was put there by hand. */
  readonly reason: string | null;
  readonly diedAt: Date | null;
};

export type DeadLetters = {
  /** Letters that nobody holds. */
  count(): Promise<number>;
  /**
   * Shows the letters that are there now, oldest first, at most `limit`. What `visit` answers `leave` goes back to the queue
   * when the walk ends, however it ends; only `settled` takes a letter out of it.
   */
  walk(limit: number, visit: (letter: DeadLetter) => Promise<'settled' | 'leave' | 'stop'>): Promise<void>;
  /**
   * Puts a copy of the letter on the main queue; resolves when the broker has confirmed it.
   * @throws {PipelineError} transient, if it is not confirmed.
   */
  publish(letter: DeadLetter): Promise<void>;
  /** Drops all letters that nobody holds. @returns how many. */
  purge(): Promise<number>;
  close(): Promise<void>;
};

const confirmMs = 10_000;

/** @throws if the broker cannot be reached; {PipelineError} if it is set up differently. */
export async function openDeadLetters(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  readonly name: string;
}): Promise<DeadLetters> {
  const model = await connectBroker(options.url, options.name);
  model.on('error', () => {}); // the calls under way say the same
  const { queue, deadQueue } = await declareTopology(model, options.topology);

  return {
    async count() {
      const channel = await model.createChannel();
      const { messageCount } = await channel.checkQueue(deadQueue);
      await channel.close();
      return messageCount;
    },

    async walk(limit, visit) {
      const channel = await model.createChannel();
      try {
        // What dies while we walk (a replay that fails again) is for the next walk.
        const { messageCount } = await channel.checkQueue(deadQueue);
        for (let n = 0; n < Math.min(limit, messageCount); n++) {
          const message = await channel.get(deadQueue);
          if (message === false) return;
          const verdict = await visit(toLetter(message));
          if (verdict === 'settled') channel.ack(message);
          if (verdict === 'stop') return;
        }
      } finally {
        // Given back by name: a closed channel counts against the delivery limit, and these letters are in order.
        channel.nackAll(true);
        await settlesWithin(
          channel.close().catch(() => {}),
          2_000,
        );
      }
    },

    async publish(letter) {
      const channel = await model.createConfirmChannel();
      let returned = false;
      channel.on('return', () => {
        returned = true;
      });
      channel.publish('', queue, letter.body, {
        persistent: true,
        mandatory: true,
        ...(letter.messageId !== undefined && { messageId: letter.messageId }),
        ...(letter.contentType !== undefined && { contentType: letter.contentType }),
      });
      const confirmed = channel.waitForConfirms().then(
        () => !returned,
        () => false,
      );
      const inTime = await settlesWithin(confirmed, confirmMs);
      if (!inTime || !(await confirmed)) {
        throw new PipelineError('transient', 'NOT_CONFIRMED', 'the broker did not confirm the replay; the letter stays where it is');
      }
      await channel.close();
    },

    async purge() {
      const channel = await model.createChannel();
      const { messageCount } = await channel.purgeQueue(deadQueue);
      await channel.close();
      return messageCount;
    },

    async close() {
      await settlesWithin(
        model.close().catch(() => {}),
        2_000,
      );
    },
  };
}

function toLetter(message: GetMessage): DeadLetter {
  const { messageId, contentType, headers } = message.properties as {
    messageId?: unknown;
    contentType?: unknown;
    headers?: { 'x-death'?: { reason?: unknown; time?: { value?: unknown } }[] };
  };
  const death = headers?.['x-death']?.[0];
  const seconds = Number(death?.time?.value);
  return {
    messageId: typeof messageId === 'string' ? messageId : undefined,
    contentType: typeof contentType === 'string' ? contentType : undefined,
    body: message.content,
    reason: typeof death?.reason === 'string' ? death.reason : null,
    diedAt: Number.isFinite(seconds) ? new Date(seconds * 1_000) : null,
  };
}
