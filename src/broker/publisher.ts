import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import type { Lane } from '../event/lane.ts';
import type { Message } from '../event/message.ts';
import type { QueueCounts } from '../outbox/ports.ts';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { createLink } from './link.ts';
import { declareTopology, type TopologyOptions, topologyNames } from './topology.ts';

export type Publisher = {
  /**
   * Publishes persistent and mandatory; resolves when the broker has confirmed that the message is in the lane's queue.
   * Never waits for a broker that is away: it fails at once, and the caller's outbox keeps the event.
   *
   * @throws {PipelineError} transient. After `CHANNEL_LOST` the broker may still have the message.
   */
  publish(message: Message, lane: Lane): Promise<void>;
  /** False while disconnected, blocked by an alarm, or full: publishing would fail. */
  readonly ready: boolean;
  /** The broker's counts for the queue of a lane, or of dead letters; null while the connection is down or blocked. */
  countQueue(queue: Lane | 'dead'): Promise<QueueCounts | null>;
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

type Entry = { readonly message: Message; readonly lane: Lane; readonly answer: (error: PipelineError | null) => void };

/** One connection with its confirm channel. */
type Session = {
  readonly model: ChannelModel;
  readonly channel: ConfirmChannel;
  /** How often each message was returned. A returned message is confirmed as well, a moment later. */
  readonly returned: Map<string, number>;
  /** Messages that wait for amqplib's buffer to drain. */
  readonly waiting: Entry[];
  isWritable: boolean;
};

type State =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'open'; readonly session: Session }
  /** An alarm of the broker: what is published now is not read before it ends. */
  | { readonly kind: 'blocked'; readonly session: Session };

/**
 * Publishes to the queues of the lanes, on a new channel after every loss of one.
 *
 * `connecting` ⇄ `open` with the broker's comings and goings, `open` ⇄ `blocked` with its alarms.
 *
 * 1. Every message that was taken is answered exactly once: by its confirm, its nack, its return, or the loss of its
 *    channel.
 * 2. `unconfirmed` counts the messages that were taken and not answered, and is bounded.
 * 3. Nothing is taken while `connecting` or `blocked`: the outbox keeps the event.
 */
export function createPublisher(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  /** See `Link.firstSession`. */
  readonly startDeadlineMs: number;
  readonly log: Logger;
  readonly name: string;
}): Publisher {
  const { log } = options;
  const names = topologyNames(options.topology.queueName);
  const unconfirmed = { messages: 0, bytes: 0 };
  let state: State = { kind: 'connecting' };

  const link = createLink({
    kind: 'publish',
    url: options.url,
    name: options.name,
    log,
    startDeadlineMs: options.startDeadlineMs,
    session: open,
  });

  async function open(model: ChannelModel, restart: (reason: string) => void): Promise<void> {
    await declareTopology(model, options.topology);
    const channel = await model.createConfirmChannel({ highWaterMark });
    const session: Session = { model, channel, returned: new Map(), waiting: [], isWritable: true };
    const isCurrent = () => state.kind !== 'connecting' && state.session === session;
    model.on('blocked', (reason) => {
      if (isCurrent()) state = { kind: 'blocked', session };
      log.warn({ reason }, 'broker blocks publishing (alarm); accepted events wait in the database');
    });
    model.on('unblocked', () => {
      if (isCurrent()) state = { kind: 'open', session };
      log.info('broker takes messages again');
    });
    channel.on('error', (error) => log.warn({ err: error }, 'publish channel failed'));
    channel.on('return', (message) => {
      const id = String(message.properties.messageId);
      session.returned.set(id, (session.returned.get(id) ?? 0) + 1);
      // The queue is gone: a new session declares it again.
      restart('message returned: no queue');
    });
    channel.on('drain', () => {
      session.isWritable = true;
      flush(session);
    });
    channel.on('close', () => {
      if (isCurrent()) state = { kind: 'connecting' };
      for (const entry of session.waiting.splice(0)) entry.answer(lost()); // invariant 1
      restart('publish channel closed');
    });
    state = { kind: 'open', session };
  }

  function flush(session: Session): void {
    while (session.isWritable) {
      const entry = session.waiting.shift();
      if (!entry) return;
      send(session, entry);
    }
  }

  function send(session: Session, { message, lane, answer }: Entry): void {
    try {
      session.isWritable = session.channel.publish(
        '',
        names.queues[lane],
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
          answer(takeReturn(session, message.messageId) ? unroutable() : error ? refusedOrLost(error) : null);
        },
      );
    } catch (cause) {
      answer(new PipelineError('transient', 'CHANNEL_LOST', 'the publish channel is closed', { cause }));
    }
  }

  /** Invariants 2 and 3. */
  function whyNot(): PipelineError | null {
    if (state.kind === 'connecting')
      return new PipelineError('transient', 'BROKER_DOWN', 'no connection to the broker');
    if (state.kind === 'blocked')
      return new PipelineError('transient', 'BROKER_BLOCKED', 'the broker blocks publishing');
    if (unconfirmed.messages < maxUnconfirmed && unconfirmed.bytes < maxUnconfirmedBytes) return null;
    return new PipelineError('transient', 'BROKER_BUSY', `${unconfirmed.messages} messages are unconfirmed`);
  }

  return {
    publish(message, lane) {
      const refusal = whyNot();
      if (refusal !== null || state.kind !== 'open') return Promise.reject(refusal);
      const { session } = state;
      unconfirmed.messages++;
      unconfirmed.bytes += message.body.length;
      return new Promise((resolve, reject) => {
        const answer = (error: PipelineError | null) => {
          unconfirmed.messages--;
          unconfirmed.bytes -= message.body.length;
          if (error) reject(error);
          else resolve();
        };
        if (session.isWritable) send(session, { message, lane, answer });
        else session.waiting.push({ message, lane, answer });
      });
    },
    async countQueue(queue) {
      // A broker that blocks a connection does not read it: no answer would come before the alarm ends.
      if (state.kind !== 'open') return null;
      // A channel of its own: a queue that is gone closes the channel that asks for it.
      const asking = await state.session.model.createChannel();
      asking.on('error', () => {});
      const { messageCount, consumerCount } = await asking.checkQueue(
        queue === 'dead' ? names.deadQueue : names.queues[queue],
      );
      await asking.close();
      return { messages: messageCount, consumers: consumerCount };
    },
    get ready() {
      return whyNot() === null;
    },
    firstSession: link.firstSession,
    gauges: [
      { name: 'publishes_unconfirmed', bound: maxUnconfirmed, held: () => unconfirmed.messages },
      { name: 'publish_bytes_unconfirmed', bound: maxUnconfirmedBytes, held: () => unconfirmed.bytes },
    ],
    close: () => link.close(),
  };
}

/** Two copies of one event may be under way, so returns are counted. @returns whether one was left. */
function takeReturn({ returned }: Session, id: string): boolean {
  const left = (returned.get(id) ?? 0) - 1;
  if (left > 0) returned.set(id, left);
  else returned.delete(id);
  return left >= 0;
}

function lost(): PipelineError {
  return new PipelineError('transient', 'CHANNEL_LOST', 'the publish channel closed before the confirm');
}

function unroutable(): PipelineError {
  return new PipelineError('transient', 'UNROUTABLE', 'no queue accepted the message');
}

function refusedOrLost(error: unknown): PipelineError {
  // amqplib's own words for a nack; any other error means that the channel is gone.
  if ((error as { message?: unknown }).message !== 'message nacked') return lost();
  return new PipelineError('transient', 'REFUSED', 'the queue refused the message (full)');
}
