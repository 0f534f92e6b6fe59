import { expect, vi } from 'vitest';
import type { Fleet } from '../../support/fleet.ts';
import type { Traffic } from '../../support/traffic.ts';

/** What a fault has to work with. */
export type Scene = {
  readonly fleet: Fleet;
  readonly traffic: Traffic;
  /** Names the ids that this strike makes. */
  readonly stream: string;
  /** The traffic's users, as a pattern of LIKE. */
  readonly users: string;
  /** Called while things are broken: processes are told to stop then, too. */
  readonly whileBroken: () => Promise<void>;
  /** Conversations that must end as FAILED. */
  readonly failing: Set<string>;
  /** Milliseconds that a long breakage lasts: a moment in a test, a minute in a soak. */
  readonly longMs: number;
};

/** Something that goes wrong. Breaks it while conversations come in, and mends it before it resolves. */
export type Fault = { readonly name: string; readonly strike: (scene: Scene) => Promise<void> };

/** Bytes that only one kind of packet to the database has. */
export const sql = {
  /** With the COMMIT in the same packet. */
  insertEvents: 'INSERT INTO conversation_events (',
  settle: 'score_calculation_details = CASE',
} as const;

/** Methods of AMQP 0-9-1 as they are on the wire: class and method number. */
export const amqp = {
  publish: Buffer.from([0, 60, 0, 40]),
  ack: Buffer.from([0, 60, 0, 80]),
} as const;

/** Waits until the fleet says `text` once more than before `act`: a fault must be seen to strike. */
export async function untilSaid(fleet: Fleet, text: string, act: () => unknown): Promise<void> {
  const before = fleet.said(text);
  await act();
  await vi.waitFor(() => expect(fleet.said(text), text).toBeGreaterThan(before), { timeout: 60_000, interval: 50 });
}
