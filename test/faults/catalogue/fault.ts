import { expect, vi } from 'vitest';
import type { Fleet } from '../../support/fleet.ts';
import type { Traffic } from '../../support/traffic.ts';

/** What a fault has to work with. */
export type Scene = {
  readonly fleet: Fleet;
  readonly traffic: Traffic;
  /** Names the ids that this strike makes. */
  readonly stream: string;
  /** The traffic's users, as a LIKE pattern. */
  readonly users: string;
  /** To be called while things are broken: it tells processes to stop at that moment. */
  readonly whileBroken: () => Promise<void>;
  /** Conversations that must end as FAILED. */
  readonly failing: Set<string>;
  /** How long a long breakage lasts, in milliseconds: short in a test, long in a soak. */
  readonly longMs: number;
};

/** Something that goes wrong: `strike` breaks it while conversations come in, and fixes it before it resolves. */
export type Fault = { readonly name: string; readonly strike: (scene: Scene) => Promise<void> };

/** Bytes that occur in only one kind of packet to the database. */
export const sql = {
  /** With the COMMIT in the same packet. */
  insertEvents: 'INSERT INTO conversation_events (',
  settle: 'score_calculation_details = CASE',
} as const;

/** AMQP 0-9-1 methods on the wire: class and method number. */
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
