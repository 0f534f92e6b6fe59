import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LaneState, plan } from '../../../src/broker/lanes/plan.ts';
import { type Lane, lanes } from '../../../src/event/lane.ts';

const weights = { high: 6, normal: 3, low: 1 };

/** A broker and a worker in memory: queues, consumers with their prefetch, deliveries that take a while. */
class Scene {
  readonly queued: Record<Lane, number> = { high: 0, normal: 0, low: 0 };
  readonly units: { tag: string; lane: Lane; size: number; held: number; isLive: boolean }[] = [];
  readonly served: Record<Lane, number> = { high: 0, normal: 0, low: 0 };
  capacity: number;
  #peaks: Record<Lane, number[]> = { high: [], normal: [], low: [] };
  #n = 0;
  #turn = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get held(): number {
    return this.units.reduce((n, { held }) => n + held, 0);
  }

  heldOf(lane: Lane): number {
    return this.units.filter((unit) => unit.lane === lane).reduce((n, { held }) => n + held, 0);
  }

  deliver(): void {
    for (const unit of this.units)
      while (unit.isLive && unit.held < unit.size && this.queued[unit.lane] > 0) {
        unit.held++;
        this.queued[unit.lane]--;
      }
  }

  /** Some that are held are done. */
  finish(n: number): void {
    for (const unit of this.units) {
      for (; n > 0 && unit.held > 0; n--) {
        unit.held--;
        this.served[unit.lane]++;
      }
    }
  }

  tick(): void {
    this.deliver();
    const states = lanes.map((lane): LaneState => {
      const mine = this.units.filter((unit) => unit.lane === lane && unit.isLive);
      const held = mine.reduce((n, unit) => n + unit.held, 0);
      const size = mine.reduce((n, unit) => n + unit.size, 0);
      this.#peaks[lane] = [held, ...this.#peaks[lane]].slice(0, 3);
      return {
        lane,
        weight: weights[lane],
        units: mine,
        left: this.heldOf(lane) - held,
        peak: Math.max(...this.#peaks[lane]),
        wants: held === size ? this.queued[lane] : 0,
      };
    });
    const { cancel, begin, isSettled } = plan(this.capacity, states, this.#turn);
    if (isSettled) this.#turn++;
    for (const unit of this.units) if (cancel.includes(unit.tag)) unit.isLive = false;
    for (const { lane, size } of begin)
      this.units.push({ tag: `${lane}${this.#n++}`, lane, size, held: 0, isLive: true });
    for (let i = this.units.length - 1; i >= 0; i--)
      if (this.units[i]?.isLive === false && this.units[i]?.held === 0) this.units.splice(i, 1);
    this.deliver();
  }

  ticks(n: number): void {
    for (let i = 0; i < n; i++) this.tick();
  }
}

test('at first, each lane has its share, and the next message of any is taken at once', () => {
  const scene = new Scene(10);
  scene.tick();
  expect(scene.units.map(({ lane, size }) => [lane, size])).toEqual([
    ['high', 6],
    ['normal', 3],
    ['low', 1],
  ]);
  scene.ticks(10);
  expect(scene.units).toHaveLength(3);
});

test.each(lanes)('all slots are for the %s lane while the others have nothing to do', (lane) => {
  const scene = new Scene(40);
  scene.tick();
  scene.queued[lane] = 1_000;
  scene.deliver();
  scene.ticks(6);
  expect(scene.heldOf(lane)).toBe(40);
});

test('a lane gets its share back as deliveries of the others are done, and keeps it', () => {
  const scene = new Scene(10);
  scene.tick();
  scene.queued.low = 1_000;
  scene.deliver();
  scene.ticks(6);
  expect(scene.heldOf('low')).toBe(10);
  scene.queued.high = scene.queued.normal = 1_000;
  for (let i = 0; i < 40; i++) {
    scene.finish(1);
    scene.tick();
  }
  expect([scene.heldOf('high'), scene.heldOf('normal'), scene.heldOf('low')]).toEqual([6, 3, 1]);
  const tags = scene.units.map(({ tag }) => tag);
  scene.ticks(10);
  expect(scene.units.map(({ tag }) => tag)).toEqual(tags);
});

test('one slot is enough for all lanes: they take turns', () => {
  const scene = new Scene(1);
  scene.queued.high = scene.queued.normal = scene.queued.low = 1_000;
  for (let i = 0; i < 400; i++) {
    scene.tick();
    scene.finish(1);
  }
  expect(scene.served.high).toBeGreaterThan(scene.served.normal);
  expect(scene.served.normal).toBeGreaterThan(scene.served.low);
  expect(scene.served.low).toBeGreaterThan(10);
});

test('a lane that has just used all slots keeps them while nothing waits', () => {
  const scene = new Scene(10);
  scene.tick();
  scene.queued.normal = 10;
  scene.ticks(6);
  expect(scene.heldOf('normal')).toBe(10);
  const tags = scene.units.map(({ tag }) => tag);
  for (let i = 0; i < 20; i++) {
    scene.finish(1);
    scene.queued.normal++;
    scene.tick();
  }
  expect(scene.units.map(({ tag }) => tag)).toEqual(tags);
});

test.each([1, 2, 5])('a lower limit (%i) holds once what is held has been done, busy or idle', (lower) => {
  for (const messages of [0, 1_000]) {
    const scene = new Scene(40);
    scene.queued.low = messages;
    scene.ticks(6);
    scene.capacity = lower;
    for (let i = 0; i < 60; i++) {
      scene.finish(2);
      scene.tick();
    }
    expect(scene.units.reduce((n, unit) => n + (unit.isLive ? unit.size : unit.held), 0)).toBeLessThanOrEqual(lower);
  }
});

test('whatever comes: never more than the capacity, and no slot stays empty while a message waits', () => {
  const step = fc.record({
    arrivals: fc.tuple(fc.nat(30), fc.nat(30), fc.nat(30)),
    done: fc.nat(20),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.array(step, { maxLength: 40 }), (capacity, steps) => {
      const scene = new Scene(capacity);
      for (const { arrivals, done } of steps) {
        for (const [i, lane] of lanes.entries()) scene.queued[lane] += arrivals[i] ?? 0;
        scene.deliver();
        scene.finish(done);
        scene.tick();
        const slots = scene.units.reduce((n, unit) => n + (unit.isLive ? unit.size : unit.held), 0);
        expect(slots).toBeLessThanOrEqual(capacity);
      }
      // Nothing is done any more: within a few ticks, all that waits is held, or all slots are in use.
      scene.ticks(12);
      const waiting = lanes.reduce((n, lane) => n + scene.queued[lane], 0);
      if (waiting > 0) expect(scene.held).toBe(capacity);
    }),
    { numRuns: 500 },
  );
});
