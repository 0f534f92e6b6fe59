import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import type { Message } from '../event/message.ts';
import type { QueueCounts } from '../outbox/ports.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { createLink } from './link.ts';
import { declareTopology, type TopologyOptions } from './topology.ts';

export type Publisher = {
  /**
   * Publishes persistent and mandatory; resolves when the broker has confirmed that the message is in the queue.
   * Never waits for a broker that is away: it fails at once, and the caller's outbox keeps the event.
   *
   * @throws {PipelineError} transient. After `CHANNEL_LOST` the broker may still have the message.
   */
  publish(message: Message): Promise<void>;
  /** False while disconnected, blocked by an alarm, or full: publishing would fail. */
  readonly ready: boolean;
  /** The broker's counts for the queue; null while the connection is down or blocked. */
  countQueue(): Promise<QueueCounts | null>;
  /** See `Link.firstSession`. */
  readonly firstSession: Promise<void>;
  readonly gauges: readonly Gauge[];
  close(): Promise<void>;
};

/** Bounds on messages that are unconfirmed or wait for the socket: one second's worth at full speed. */
const maxUnconfirmed = 8_192;
const maxUnconfirmedBytes = 64 * 1_024 * 1_024;
/** Bytes amqplib may buffer before `publish` asks for a pause until `drain`. */
const highWaterMark = 1_024 * 1_024;

type Waiting = { readonly message: Message; readonly settle: (error: PipelineError | null) => void };

export function createPublisher(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  /** See `Link.firstSession`. */
  readonly startDeadlineMs: number;
  readonly log: Logger;
  readonly name: string;
}): Publisher {
  const returned = new Set<string>();
  const waitingForDrain: Waiting[] = [];
  let model: ChannelModel | null = null;
  let channel: ConfirmChannel | null = null;
  let writable = true;
  let blocked = false;
  /** Published or waiting for the socket, and not yet confirmed. */
  let unconfirmed = 0;
  let unconfirmedBytes = 0;

  const link = createLink({
    url: options.url,
    name: options.name,
    log: options.log,
    startDeadlineMs: options.startDeadlineMs,
    session: open,
  });

  async function open(connected: ChannelModel, restart: (reason: string) => void): Promise<void> {
    await declareTopology(connected, options.topology);
    const fresh = await connected.createConfirmChannel({ highWaterMark });
    blocked = false;
    connected.on('blocked', (reason) => {
      blocked = true;
      options.log.warn({ reason }, 'broker blocks publishing (alarm); accepted events wait in the database');
    });
    connected.on('unblocked', () => {
      blocked = false;
      options.log.info('broker accepts messages again');
    });
    fresh.on('error', (error) => options.log.warn({ err: error }, 'publish channel failed'));
    fresh.on('return', (message) => {
      // The confirm follows and would look like success.
      returned.add(String(message.properties.messageId));
      // The queue does not exist any more: a new session declares it again.
      restart('message returned: no queue');
    });
    fresh.on('drain', () => {
      writable = true;
      flush();
    });
    fresh.on('close', () => {
      if (channel === fresh) {
        channel = null;
        model = null;
      }
      for (const entry of waitingForDrain.splice(0)) entry.settle(lost());
      returned.clear();
      restart('publish channel closed');
    });
    writable = true;
    channel = fresh;
    model = connected;
  }

  function flush(): void {
    while (writable && channel !== null) {
      const entry = waitingForDrain.shift();
      if (!entry) return;
      send(channel, entry);
    }
  }

  function send(on: ConfirmChannel, { message, settle }: Waiting): void {
    try {
      writable = on.publish(
        '',
        options.topology.queueName,
        message.body,
        {
          persistent: true,
          mandatory: true,
          messageId: message.messageId,
          type: message.type,
          contentType: message.contentType,
          headers: message.headers,
          timestamp: Math.floor(Date.now() / 1_000),
        },
        (error: unknown) => {
          if (returned.delete(message.messageId)) {
            settle(new PipelineError('transient', 'UNROUTABLE', 'the broker has no queue for the message'));
          } else if (error) {
            // This is amqplib's wording for a nack; any other error means that the channel is gone.
            const nacked = (error as { message?: unknown }).message === 'message nacked';
            settle(nacked ? new PipelineError('transient', 'REFUSED', 'the queue refused the message (full)') : lost());
          } else settle(null);
        },
      );
    } catch (cause) {
      settle(new PipelineError('transient', 'CHANNEL_LOST', 'the publish channel is closed', { cause }));
    }
  }

  return {
    publish(message) {
      if (channel === null)
        return Promise.reject(new PipelineError('transient', 'BROKER_DOWN', 'no connection to the broker'));
      if (blocked)
        return Promise.reject(new PipelineError('transient', 'BROKER_BLOCKED', 'the broker blocks publishing'));
      if (unconfirmed >= maxUnconfirmed || unconfirmedBytes >= maxUnconfirmedBytes) {
        return Promise.reject(new PipelineError('transient', 'BROKER_BUSY', `${unconfirmed} messages are unconfirmed`));
      }
      unconfirmed++;
      unconfirmedBytes += message.body.length;
      return new Promise((resolve, reject) => {
        const entry: Waiting = {
          message,
          settle: (error) => {
            unconfirmed--;
            unconfirmedBytes -= message.body.length;
            if (error) reject(error);
            else resolve();
          },
        };
        if (writable && channel !== null) send(channel, entry);
        else waitingForDrain.push(entry);
      });
    },
    async countQueue() {
      // A broker does not read from a connection that it blocks: no answer would come before the alarm ends.
      if (model === null || blocked) return null;
      // On a separate channel, because asking for a queue that does not exist closes the channel.
      const asking = await model.createChannel();
      asking.on('error', () => {});
      const { messageCount, consumerCount } = await asking.checkQueue(options.topology.queueName);
      await asking.close();
      return { messages: messageCount, consumers: consumerCount };
    },
    get ready() {
      return channel !== null && !blocked && unconfirmed < maxUnconfirmed && unconfirmedBytes < maxUnconfirmedBytes;
    },
    firstSession: link.firstSession,
    gauges: [
      { name: 'publishes_unconfirmed', bound: maxUnconfirmed, held: () => unconfirmed },
      { name: 'publish_bytes_unconfirmed', bound: maxUnconfirmedBytes, held: () => unconfirmedBytes },
    ],
    close: () => link.close(),
  };
}

function lost(): PipelineError {
  return new PipelineError('transient', 'CHANNEL_LOST', 'the publish channel closed before the confirm');
}
