import type { Channel, ConsumeMessage } from 'amqplib';

/** The answers of one channel. */
export type Acks = {
  /** Every delivery, before it is answered. */
  opened(message: ConsumeMessage): void;
  /** Sent at the end of this turn of the event loop. */
  ack(message: ConsumeMessage): void;
  /** Sent at once. @throws if the channel has closed. */
  nack(message: ConsumeMessage, requeue: boolean): void;
  /** Sends the acks that wait. Never throws: deliveries of a channel that has closed come again. */
  flush(): void;
};

/**
 * Acks of one turn leave together, and a run of them from the oldest open delivery on is one frame (`multiple`): one
 * command for a quorum queue's log instead of one a delivery (docs/decisions/0013). When the channel closes at once, a
 * quorum queue may drop the last of many single acks (rabbitmq-server issue 10327): those deliveries come again and are
 * duplicates.
 */
export function createAcks(channel: Channel): Acks {
  /** Unanswered deliveries by tag, in the order they came; true: its ack waits. */
  const open = new Map<number, boolean>();
  let waiting: ConsumeMessage[] = [];

  function send(acked: readonly ConsumeMessage[]): void {
    const last = closeOldest();
    for (const message of acked) {
      // Everything before the last of the run is answered: by this frame, or by its nack earlier.
      if (message.fields.deliveryTag === last) channel.ack(message, true);
      else if (open.delete(message.fields.deliveryTag)) channel.ack(message);
    }
  }

  /**
   * @returns the newest tag of the run of acked deliveries that begins with the oldest one; null if that is still at
   *   work.
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
      // A tick and not a microtask: all that the same commit resolved has had its turn by then.
      if (waiting.push(message) === 1) process.nextTick(flush);
    },
    nack(message, requeue) {
      open.delete(message.fields.deliveryTag);
      channel.nack(message, false, requeue);
    },
    flush,
  };
}
