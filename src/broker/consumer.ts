import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { type Acks, createAcks } from './acks.ts';
import { createLink } from './link.ts';
import { declareTopology, type TopologyOptions } from './topology.ts';

/**
 * One delivery, to be answered exactly once. Its tag is valid only on the channel that delivered it. Once that channel
 * is gone, the three answers do nothing; the broker redelivers, and if the row is closed by then, that is a duplicate.
 */
export type Delivery = {
  readonly body: Buffer;
  readonly messageId: string | undefined;
  readonly redelivered: boolean;
  /** False once its channel is gone: not worth starting, because the broker redelivers it. */
  readonly live: boolean;
  ack(): void;
  /** nack, requeue=false: to the dead-letter exchange. */
  deadLetter(): void;
  /** nack, requeue=true. */
  requeue(): void;
};

export type Consumer = {
  /** basic.cancel: nothing new arrives, the channel stays open for answers. */
  stopTaking(): Promise<void>;
  readonly consuming: boolean;
  /** See `Link.firstSession`. */
  readonly firstSession: Promise<void>;
  /** Unanswered deliveries go back to the queue. */
  close(): Promise<void>;
};

export function createConsumer(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  /** See `Link.firstSession`. */
  readonly startDeadlineMs: number;
  readonly prefetch: number;
  readonly onDelivery: (delivery: Delivery) => void;
  /** From here on the open deliveries are no longer `live`. Not called by `close`. */
  readonly onChannelLost: () => void;
  readonly log: Logger;
  readonly name: string;
}): Consumer {
  let channel: Channel | null = null;
  let consumerTag: string | null = null;
  let acks: Acks | null = null;
  let taking = true;
  let closing = false;

  const link = createLink({
    url: options.url,
    name: options.name,
    log: options.log,
    startDeadlineMs: options.startDeadlineMs,
    session: open,
  });

  async function open(model: ChannelModel, restart: (reason: string) => void): Promise<void> {
    const { queue } = await declareTopology(model, options.topology);
    const fresh = await model.createChannel();
    fresh.on('error', (error) => options.log.warn({ err: error }, 'consume channel failed'));
    fresh.on('close', () => {
      if (channel === fresh) {
        channel = null;
        acks = null;
        consumerTag = null;
      }
      if (closing) return;
      options.onChannelLost();
      restart('consume channel closed');
    });
    await fresh.prefetch(options.prefetch);
    channel = fresh;
    const freshAcks = createAcks(fresh);
    acks = freshAcks;
    // After a reconnect during the drain, old deliveries cannot be answered, and new ones must not be taken.
    if (!taking) return;
    const consume = await fresh.consume(queue, (message) => {
      // null: the broker cancelled the consumer, because the queue was deleted or moved.
      if (message === null) restart('consumer cancelled by the broker');
      else options.onDelivery(toDelivery(fresh, freshAcks, message));
    });
    consumerTag = consume.consumerTag;
    if (!taking) await cancel();
  }

  async function cancel(): Promise<void> {
    if (channel === null || consumerTag === null) return;
    const tag = consumerTag;
    consumerTag = null;
    await settlesWithin(
      channel.cancel(tag).catch(() => {}),
      2_000,
    );
  }

  return {
    async stopTaking() {
      taking = false;
      await cancel();
    },
    get consuming() {
      return consumerTag !== null;
    },
    firstSession: link.firstSession,
    async close() {
      taking = false;
      closing = true;
      acks?.flush();
      // The channel first: closing it sends the answers that are still buffered.
      if (channel)
        await settlesWithin(
          channel.close().catch(() => {}),
          2_000,
        );
      await link.close();
    },
  };

  function toDelivery(from: Channel, acksOf: Acks, message: ConsumeMessage): Delivery {
    acksOf.opened(message);
    const answer = (act: () => void) => {
      if (channel !== from) return;
      try {
        act();
      } catch (error) {
        // The channel closed at this very moment; the same as answering on an old one.
        options.log.debug({ err: error }, 'answer to a delivery on a closed channel');
      }
    };
    return {
      body: message.content,
      messageId: typeof message.properties.messageId === 'string' ? message.properties.messageId : undefined,
      redelivered: message.fields.redelivered,
      get live() {
        return channel === from;
      },
      ack: () => answer(() => acksOf.ack(message)),
      deadLetter: () => answer(() => acksOf.nack(message, false)),
      requeue: () => answer(() => acksOf.nack(message, true)),
    };
  }
}
