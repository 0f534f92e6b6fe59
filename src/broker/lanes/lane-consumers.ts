import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { Lane, LaneWeights } from '../../event/lane.ts';
import { type LaneState, plan } from './plan.ts';

export type LaneConsumers = {
  /** Takes deliveries of all lanes from here on. */
  begin(): Promise<void>;
  /** Takes nothing new until `begin`. What was delivered counts until it is answered. */
  end(): Promise<void>;
  setCapacity(capacity: number): Promise<void>;
  /** To be called for every delivery. @returns what to call when it is answered. */
  took(message: ConsumeMessage): () => void;
  readonly slots: readonly LaneSlots[];
};

/** `slots`: the most deliveries of this lane that may be held; `held`: those that are, late ones included. */
export type LaneSlots = { readonly lane: Lane; readonly slots: number; readonly held: number };

const tickMs = 100;
/** How long a lane is served if there are fewer slots than lanes that want some. */
const turnMs = 1_000;
const peakTicks = 10;
/** A lane in which something came so lately keeps a slot: its next message need not wait until somebody looks. */
const keptTicks = 100;
/** Of fewer slots, one is too many to keep for what may come. */
const leastToKeep = 8;

/** How much of a lane's slots is used. `peaks`: the most that were held, by tick, the current one first. */
type Pressure = { peaks: number[]; idleTicks: number; wasFull: boolean; isFull: boolean; waiting: number };

type OwnUnit = { readonly tag: string; readonly lane: Lane; readonly size: number; held: number; isLive: boolean };

/**
 * Consumes several queues on one channel and divides the slots of a worker between them (`plan.ts`): a lane has
 * consumers whose prefetches are its slots. Every 100 ms it is looked at who needs more and who less: of a lane that is
 * full, or has no slots, the broker is asked how many messages wait.
 */
export function createLaneConsumers(options: {
  readonly channel: Channel;
  readonly model: ChannelModel;
  readonly queues: Readonly<Record<Lane, string>>;
  readonly lanes: readonly Lane[];
  readonly weights: LaneWeights;
  readonly capacity: number;
  readonly onMessage: (message: ConsumeMessage | null) => void;
}): LaneConsumers {
  const { channel, queues, lanes, weights } = options;
  const units = new Map<string, OwnUnit>();
  const pressure = new Map<Lane, Pressure>(
    lanes.map((lane) => [lane, { peaks: [0], idleTicks: keptTicks, wasFull: false, isFull: false, waiting: 0 }]),
  );
  let { capacity } = options;
  /** As last asked for. A change that is under way or waits for its turn acts only if it is still wanted. */
  let isWanted = false;
  let number = 0;
  let turn = 0;
  let settledTicks = 0;
  /** One at a time: a broker that is slow to answer must not find a hundred questions. */
  let isLooking = false;
  let asking: Channel | null = null;
  /** Changes, one after the other. */
  let last: Promise<void> = Promise.resolve();

  const live = (lane: Lane) => [...units.values()].filter((unit) => unit.lane === lane && unit.isLive);
  const heldIn = (some: readonly OwnUnit[]) => some.reduce((n, { held }) => n + held, 0);
  const sizeOf = (some: readonly OwnUnit[]) => some.reduce((n, { size }) => n + size, 0);

  function stateOf(lane: Lane): LaneState {
    const mine = live(lane);
    const own = pressure.get(lane);
    const all = [...units.values()].filter((unit) => unit.lane === lane);
    return {
      lane,
      weight: weights[lane],
      units: mine,
      left: heldIn(all) - heldIn(mine),
      peak: Math.max(...(own?.peaks ?? [0]), isKept(own) ? 1 : 0),
      wants: own?.waiting ?? 0,
    };
  }

  function isKept(own: Pressure | undefined): boolean {
    return own !== undefined && own.idleTicks < keptTicks && capacity >= leastToKeep;
  }

  /** Notes how full the lanes were since the last tick. */
  function measure(): void {
    for (const [lane, own] of pressure) {
      const mine = live(lane);
      // At any moment since: a quick scorer's worker is empty half of the time, between two batches.
      own.isFull = own.wasFull;
      own.wasFull = heldIn(mine) >= sizeOf(mine);
      own.idleTicks = (own.peaks[0] ?? 0) > 0 ? 0 : own.idleTicks + 1;
      own.peaks = [heldIn(mine), ...own.peaks].slice(0, peakTicks);
    }
  }

  async function rearrange(): Promise<void> {
    if (!isWanted) return;
    const { cancel, begin, isSettled } = plan(capacity, lanes.map(stateOf), turn);
    // A turn lasts until its lane has been served for a while: a slot may be long in coming.
    if (!isSettled) settledTicks = 0;
    else if (++settledTicks * tickMs >= turnMs) {
      turn++;
      settledTicks = 0;
    }
    await Promise.all(cancel.map(stop));
    for (const { lane, size } of begin) {
      if (!isWanted) return;
      await start(lane, size);
    }
  }

  async function start(lane: Lane, size: number): Promise<void> {
    const tag = `afterword-${lane}-${++number}`;
    // A prefetch applies to the consumers that begin after it.
    await channel.prefetch(size);
    if (!isWanted) return;
    // Before the broker's answer: a delivery may arrive in the same packet.
    units.set(tag, { tag, lane, size, held: 0, isLive: true });
    await channel.consume(queues[lane], options.onMessage, { consumerTag: tag });
  }

  /** What it has delivered until the broker's answer counts as its own. */
  async function stop(tag: string): Promise<void> {
    await channel.cancel(tag);
    const unit = units.get(tag);
    if (unit === undefined) return;
    unit.isLive = false;
    if (unit.held === 0) units.delete(tag);
  }

  async function askForLengths(): Promise<void> {
    for (const [lane, own] of pressure) {
      if (live(lane).length > 0 && !own.isFull) {
        own.waiting = 0;
        continue;
      }
      // A channel of its own: a queue that is gone closes the channel that asks for it.
      if (asking === null) {
        asking = await options.model.createChannel();
        asking.on('error', () => {}).once('close', () => (asking = null));
      }
      own.waiting = (await asking.checkQueue(queues[lane])).messageCount;
    }
  }

  function inOrder(change: () => Promise<void>): Promise<void> {
    const mine = last.then(change);
    last = mine.catch(() => {});
    return mine;
  }

  function tick(): void {
    measure();
    if (isLooking || !isWanted) return;
    isLooking = true;
    // Outside of the changes: an answer that does not come must not keep anybody from ending.
    askForLengths()
      .then(() => inOrder(rearrange))
      .catch((error: unknown) => {
        // A queue that is gone and has no consumer here that could be told. A channel that closes meanwhile is noticed
        // where channels are.
        if ((error as { code?: unknown }).code === 404) options.onMessage(null);
      })
      .finally(() => {
        isLooking = false;
      });
  }

  const timer = setInterval(tick, tickMs);
  timer.unref();
  channel.once('close', () => clearInterval(timer));

  return {
    begin() {
      isWanted = true;
      return inOrder(rearrange);
    },
    end() {
      isWanted = false;
      return inOrder(async () => {
        await Promise.all([...units.values()].filter(({ isLive }) => isLive).map(({ tag }) => stop(tag)));
      });
    },
    setCapacity: (wanted) =>
      inOrder(async () => {
        capacity = wanted;
        await rearrange();
      }),
    took({ fields }) {
      const unit = units.get(fields.consumerTag ?? '');
      if (unit === undefined) return () => {};
      unit.held++;
      const mine = live(unit.lane);
      const held = heldIn(mine);
      const own = pressure.get(unit.lane);
      if (own !== undefined) {
        if (held >= sizeOf(mine)) own.wasFull = true;
        own.peaks[0] = Math.max(own.peaks[0] ?? 0, held);
      }
      return () => {
        unit.held--;
        if (unit.held === 0 && !unit.isLive) units.delete(unit.tag);
      };
    },
    get slots() {
      return lanes.map((lane) => ({
        lane,
        slots: sizeOf(live(lane)),
        held: heldIn([...units.values()].filter((unit) => unit.lane === lane)),
      }));
    },
  };
}
