import type { Channel, ConsumeMessage } from 'amqplib';

/** Sends the acks and nacks of one channel. */
export type Acks = {
  /** To be called for every delivery, before it is answered. */
  opened(message: ConsumeMessage): void;
  /** Sent at the end of this turn of the event loop. */
  ack(message: ConsumeMessage): void;
  /** Sent at once. @throws if the channel has closed. */
  nack(message: ConsumeMessage, requeue: boolean): void;
  /** Sends the waiting acks. Never throws: the broker redelivers what was open on a closed channel. */
  flush(): void;
};

/**
 * Acks of one turn of the event loop are sent together, and an unbroken run of them from the oldest open delivery is
 * one frame (`multiple`): one command in a quorum queue's log instead of one per delivery (docs/decisions/0013). If the
 * channel closes right after many single acks, a quorum queue may drop the last of them (rabbitmq-server issue 10327);
 * those deliveries come again and are duplicates.
 */
export function createAcks(channel: Channel): Acks {
  /** Unanswered deliveries by tag, in the order they came; true if the ack is waiting to be sent. */
  const open = new Map<number, boolean>();
  let waiting: ConsumeMessage[] = [];

  function send(acked: readonly ConsumeMessage[]): void {
    const last = closeOldest();
    for (const message of acked) {
      // Every delivery before the last of the run is answered, by this frame or by an earlier nack.
      if (message.fields.deliveryTag === last) channel.ack(message, true);
      else if (open.delete(message.fields.deliveryTag)) channel.ack(message);
    }
  }

  /**
   * @returns the newest tag of the run of acked deliveries that begins with the oldest one; null if that one is still
   *   being processed.
   */
  function closeOldest(): number | null {
    let last: number | null = null;
    for (const [tag, acked] of open) {
      if (!acked) break;
      open.delete(tag);
      last = tag;
    }
    return last;
  }

  function flush(): void {
    const acked = waiting;
    waiting = [];
    try {
      send(acked);
    } catch {
      // The channel closed meanwhile.
    }
  }

  return {
    opened: (message) => void open.set(message.fields.deliveryTag, false),
    ack(message) {
      open.set(message.fields.deliveryTag, true);
      // A tick and not a microtask: by then every promise that the same commit resolved has had its turn.
      if (waiting.push(message) === 1) process.nextTick(flush);
    },
    nack(message, requeue) {
      open.delete(message.fields.deliveryTag);
      channel.nack(message, false, requeue);
    },
    flush,
  };
}
