import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Delivery } from '../consume/ports.ts';
import type { Lane, LaneWeights } from '../event/lane.ts';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { type Acks, createAcks } from './acks.ts';
import { createLaneConsumers, type LaneConsumers, type LaneSlots } from './lanes/lane-consumers.ts';
import { createLink } from './link.ts';
import { declareTopology, type TopologyOptions } from './topology.ts';

export type Consumer = {
  /** basic.cancel: nothing new arrives, the channel stays open for answers. */
  stopTaking(): Promise<void>;
  /** Nothing new arrives until `resume`, also after a reconnect. What was delivered is processed and answered. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** From now on at most `prefetch` deliveries; those that are held now and are more are finished. */
  setPrefetch(prefetch: number): Promise<void>;
  readonly isPaused: boolean;
  /** How its slots are divided at this moment. */
  readonly slots: readonly LaneSlots[];
  /** Deliveries arrive, or would if there were any. */
  readonly isConsuming: boolean;
  /** See `Link.firstSession`. */
  readonly firstSession: Promise<void>;
  /** Unanswered deliveries go back to the queue. */
  close(): Promise<void>;
};

/** One channel and what is to be answered on it. */
type Session = {
  readonly channel: Channel;
  readonly lanes: LaneConsumers;
  readonly acks: Acks;
  readonly restart: (reason: string) => void;
  isOpen: boolean;
};

type State =
  /** The next session consumes. */
  | { readonly kind: 'connecting' }
  | { readonly kind: 'consuming'; readonly session: Session }
  /** Takes nothing new. `session`: for the answers that are still to come; null if its channel is gone. */
  | { readonly kind: 'paused'; readonly session: Session | null }
  | { readonly kind: 'draining'; readonly session: Session | null }
  | { readonly kind: 'closed' };

/** A broker that does not answer must not hold up a drain. */
const farewellMs = 2_000;

/**
 * Consumes the queues of its lanes, on a new channel after every loss of one.
 *
 * `connecting` ⇄ `consuming` with the broker's comings and goings; from either to `paused` and back by `pause` and
 * `resume`, from any of them to `draining` by `stopTaking`, and from any to `closed` by `close`.
 *
 * 1. A delivery is answered on the channel that delivered it, or not at all: its tag means nothing on another one.
 * 2. A session that begins while paused or draining does not consume: new work is not wanted.
 * 3. `onChannelLost` is called for each channel that is lost, and not for the one that `close` closes.
 */
export function createConsumer(options: {
  readonly url: string;
  readonly topology: TopologyOptions;
  /** See `Link.firstSession`. */
  readonly startDeadlineMs: number;
  /** The most deliveries that are held at the same time, of all lanes. */
  readonly prefetch: number;
  readonly lanes: readonly Lane[];
  readonly weights: LaneWeights;
  /** Begins paused. */
  readonly isPaused: boolean;
  readonly onDelivery: (delivery: Delivery) => void;
  /** Deliveries that are open are not `live` from here on. */
  readonly onChannelLost: () => void;
  readonly log: Logger;
  readonly name: string;
}): Consumer {
  const { log } = options;
  let state: State = options.isPaused ? { kind: 'paused', session: null } : { kind: 'connecting' };
  let prefetch = options.prefetch;
  /** Pauses, resumptions and changes of the prefetch, one after the other. */
  let last: Promise<void> = Promise.resolve();

  const link = createLink({
    kind: 'consume',
    url: options.url,
    name: options.name,
    log,
    startDeadlineMs: options.startDeadlineMs,
    session: open,
  });

  async function open(model: ChannelModel, restart: (reason: string) => void): Promise<void> {
    const { queues } = await declareTopology(model, options.topology);
    const channel = await model.createChannel();
    const onMessage = (message: ConsumeMessage | null) => {
      // null: the broker cancelled the consumer, because the queue was deleted or moved.
      if (message === null) restart('consumer cancelled by the broker');
      else options.onDelivery(toDelivery(session, message));
    };
    const { lanes: names, weights } = options;
    const lanes = createLaneConsumers({ channel, model, queues, lanes: names, weights, capacity: prefetch, onMessage });
    const session: Session = { channel, lanes, acks: createAcks(channel), restart, isOpen: true };
    channel.on('error', (error) => log.warn({ err: error }, 'consume channel failed'));
    channel.on('close', () => {
      session.isOpen = false;
      if (state.kind === 'closed') return;
      if (current() === session) state = withoutSession(state);
      options.onChannelLost(); // invariant 3
      restart('consume channel closed');
    });
    if (state.kind === 'paused') state = { kind: 'paused', session };
    if (state.kind === 'connecting' || state.kind === 'consuming') await consume(session); // invariant 2
  }

  async function consume(session: Session): Promise<void> {
    if (state.kind === 'draining' || state.kind === 'closed' || !session.isOpen) return;
    if (state.kind === 'paused') {
      state = { kind: 'paused', session };
      return;
    }
    // Before the broker's answer: a delivery may arrive in the same packet.
    state = { kind: 'consuming', session };
    await session.lanes.setCapacity(prefetch); // which may have been changed meanwhile
    await session.lanes.begin();
  }

  /** A channel that closes meanwhile is noticed where channels are. */
  function inOrder(change: () => Promise<void>): Promise<void> {
    last = last.then(change).catch((error: unknown) => log.debug({ err: error }, 'consumer not changed'));
    return last;
  }

  /** The session whose deliveries can still be answered. */
  function current(): Session | null {
    return state.kind === 'connecting' || state.kind === 'closed' ? null : state.session;
  }

  function toDelivery(session: Session, message: ConsumeMessage): Delivery {
    const { acks } = session;
    acks.opened(message);
    const answered = session.lanes.took(message);
    const answer = (act: () => void) => {
      answered();
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
      headers: message.properties.headers ?? {},
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
      await withinFarewell(session?.lanes.end());
    },
    pause: () =>
      inOrder(async () => {
        if (state.kind !== 'connecting' && state.kind !== 'consuming') return;
        const session = current();
        state = { kind: 'paused', session };
        await withinFarewell(session?.lanes.end());
      }),
    resume: () =>
      inOrder(async () => {
        if (state.kind !== 'paused') return;
        const { session } = state;
        // What is lost meanwhile is then restored as consuming.
        state = session === null ? { kind: 'connecting' } : { kind: 'consuming', session };
        if (session !== null) await consume(session);
      }),
    setPrefetch: (wanted) =>
      inOrder(async () => {
        prefetch = wanted;
        if (state.kind === 'consuming') await withinFarewell(state.session.lanes.setCapacity(wanted));
      }),
    get isPaused() {
      return state.kind === 'paused';
    },
    get slots() {
      return current()?.lanes.slots ?? [];
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

function withoutSession(state: State): State {
  return state.kind === 'paused' || state.kind === 'draining'
    ? { kind: state.kind, session: null }
    : { kind: 'connecting' };
}

async function withinFarewell(answer: Promise<unknown> | undefined): Promise<void> {
  if (answer === undefined) return;
  await settlesWithin(
    answer.catch(() => {}),
    farewellMs,
  );
}
