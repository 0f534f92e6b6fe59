import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Delivery } from '../consume/ports.ts';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { type Acks, createAcks } from './acks.ts';
import { createLink } from './link.ts';
import { declareTopology, type TopologyOptions } from './topology.ts';

type Consumer = {
  /** basic.cancel: nothing new arrives, the channel stays open for answers. */
  stopTaking(): Promise<void>;
  /** Deliveries arrive, or would if there were any. */
  readonly isConsuming: boolean;
  /** See `Link.firstSession`. */
  readonly firstSession: Promise<void>;
  /** Unanswered deliveries go back to the queue. */
  close(): Promise<void>;
};

/** One channel and what is to be answered on it. */
type Session = { readonly channel: Channel; readonly acks: Acks };

type State =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'consuming'; readonly session: Session }
  /** Takes nothing new. `session`: for the answers that are still to come; null if its channel is gone. */
  | { readonly kind: 'draining'; readonly session: Session | null }
  | { readonly kind: 'closed' };

/** Chosen here, so that a consumer can be cancelled before the broker has answered. Unique on its channel. */
const consumerTag = 'afterword';
/** A broker that does not answer must not hold up a drain. */
const farewellMs = 2_000;

/**
 * Consumes the main queue, on a new channel after every loss of one.
 *
 * `connecting` ⇄ `consuming` with the broker's comings and goings; from either to `draining` by `stopTaking`, and from
 * any to `closed` by `close`.
 *
 * 1. A delivery is answered on the channel that delivered it, or not at all: its tag means nothing on another one.
 * 2. A session that begins while draining does not consume: old tags are dead, and new work is not wanted.
 * 3. `onChannelLost` is called for each channel that is lost, and not for the one that `close` closes.
 */
export function createConsumer(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  /** See `Link.firstSession`. */
  readonly startDeadlineMs: number;
  readonly prefetch: number;
  readonly onDelivery: (delivery: Delivery) => void;
  /** Deliveries that are open are not `live` from here on. */
  readonly onChannelLost: () => void;
  readonly log: Logger;
  readonly name: string;
}): Consumer {
  const { log } = options;
  let state: State = { kind: 'connecting' };

  const link = createLink({
    kind: 'consume',
    url: options.url,
    name: options.name,
    log,
    startDeadlineMs: options.startDeadlineMs,
    session: open,
  });

  async function open(model: ChannelModel, restart: (reason: string) => void): Promise<void> {
    const { queue } = await declareTopology(model, options.topology);
    const channel = await model.createChannel();
    const session = { channel, acks: createAcks(channel) };
    channel.on('error', (error) => log.warn({ err: error }, 'consume channel failed'));
    channel.on('close', () => {
      if (state.kind === 'closed') return;
      if (current() === session)
        state = state.kind === 'draining' ? { kind: 'draining', session: null } : { kind: 'connecting' };
      options.onChannelLost(); // invariant 3
      restart('consume channel closed');
    });
    await channel.prefetch(options.prefetch);
    if (state.kind === 'draining' || state.kind === 'closed') return; // invariant 2
    // Before the broker's answer: a delivery may arrive in the same packet.
    state = { kind: 'consuming', session };
    const onMessage = (message: ConsumeMessage | null) => {
      // null: the broker cancelled the consumer, because the queue was deleted or moved.
      if (message === null) restart('consumer cancelled by the broker');
      else options.onDelivery(toDelivery(session, message));
    };
    await channel.consume(queue, onMessage, { consumerTag });
  }

  /** The session whose deliveries can still be answered. */
  function current(): Session | null {
    return state.kind === 'consuming' || state.kind === 'draining' ? state.session : null;
  }

  function toDelivery(session: Session, message: ConsumeMessage): Delivery {
    const { acks } = session;
    acks.opened(message);
    const answer = (act: () => void) => {
      if (current() !== session) return; // invariant 1
      try {
        act();
      } catch (error) {
        // The channel closed under us in this very moment: the same as answering on an old one.
        log.debug({ err: error }, 'answer to a delivery on a closed channel');
      }
    };
    return {
      body: message.content,
      messageId: typeof message.properties.messageId === 'string' ? message.properties.messageId : undefined,
      redelivered: message.fields.redelivered,
      get live() {
        return current() === session;
      },
      ack: () => answer(() => acks.ack(message)),
      deadLetter: () => answer(() => acks.nack(message, false)),
      requeue: () => answer(() => acks.nack(message, true)),
    };
  }

  return {
    async stopTaking() {
      if (state.kind === 'draining' || state.kind === 'closed') return;
      const session = current();
      state = { kind: 'draining', session };
      await withinFarewell(session?.channel.cancel(consumerTag));
    },
    get isConsuming() {
      return state.kind === 'consuming';
    },
    firstSession: link.firstSession,
    async close() {
      const session = current();
      state = { kind: 'closed' };
      session?.acks.flush();
      // The channel first: it sends the answers that are still buffered.
      await withinFarewell(session?.channel.close());
      await link.close();
    },
  };
}

async function withinFarewell(answer: Promise<unknown> | undefined): Promise<void> {
  if (answer === undefined) return;
  await settlesWithin(
    answer.catch(() => {}),
    farewellMs,
  );
}
