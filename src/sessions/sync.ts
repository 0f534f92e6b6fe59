import pLimit from 'p-limit';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { pause, settlesWithin } from '../runtime/wait.ts';
import type { Claim, LiveSessions, Pending, StoredSessions } from './ports.ts';
import type { Unsynced } from './unsynced.ts';

/** Measured: larger batches raise the rate no more (docs/decisions/0024). */
const maxMessages = 1_000;
const maxBytes = 4 * 1_024 * 1_024;
const sessionsPerClaim = 100;
/** More than a session may hold: its end is only written with everything that came before. */
const wholeSession = 10_000;
/** Sessions that are read from Redis, and batches that are written, at the same time. */
const writesAtOnce = 2;
/**
 * Several times as long as a batch may take; afterwards another process does it again, and nothing is written twice.
 */
const leaseMs = 30_000;
const lookMs = 1_000;

export type Sync = {
  /** Syncs what is pending, now. @returns messages that this call wrote. */
  all(): Promise<number>;
  /** Syncs one session, whoever else may be at it. @returns whether nothing is left. */
  one(sessionId: string): Promise<boolean>;
  /** Soon: a session has much pending. */
  nudge(sessionId: string): void;
  /** Ends the loop with a last sync, at most `withinMs`. */
  close(withinMs: number): Promise<void>;
};

type Work = Claim & { readonly token: number; readonly pending: Pending };

/**
 * Writes to the database what sessions have pending in Redis: every `intervalMs`, some process of the fleet leases
 * sessions, writes their messages, and takes them off Redis's list after the commit. A process that dies in between
 * leaves its leases to the next; what was written is known by its id, so that it is not written twice.
 */
export function startSync(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly isUp: () => boolean;
  readonly intervalMs: number;
  readonly log: Logger;
}): Sync {
  const { live, stored, unsynced, log } = options;
  const stop = new AbortController();
  const nudged = new Set<string>();
  const limit = pLimit(writesAtOnce);

  async function syncClaims(dirtyForMs: number): Promise<number> {
    let messages = 0;
    for (;;) {
      const { token, claims } = await live.claim({ dirtyForMs, limit: sessionsPerClaim, leaseMs });
      if (claims.length === 0) return messages;
      messages += await syncLeased(token, claims);
    }
  }

  async function syncLeased(token: number, claims: readonly Claim[]): Promise<number> {
    const read = await Promise.all(
      claims.map(async (claim) => {
        const pending = await live.readPending(claim.sessionId, wholeSession);
        if (pending === null) await live.release(claim.sessionId, { token, freedBytes: 0, dirtySince: null });
        return pending && { ...claim, token, pending };
      }),
    );
    const counts = await Promise.all(
      batchesOf(read.filter((work) => work !== null)).map((batch) => limit(() => syncBatch(batch))),
    );
    return counts.reduce((sum, n) => sum + n, 0);
  }

  async function syncBatch(batch: readonly Work[]): Promise<number> {
    const began = performance.now();
    const messages = batch.reduce((sum, { pending }) => sum + pending.messages.length, 0);
    try {
      const written = await spans.sync.around({ messages }, () =>
        stored.write(
          batch.map(({ pending }) => pending),
          batch[0]?.token ?? 0,
        ),
      );
      const byId = new Map(written.map((w) => [w.sessionId, w]));
      await Promise.all(
        batch.map(async ({ sessionId, token, dirtySince, pending }) => {
          const result = byId.get(sessionId);
          // A later lease writes the rest.
          if (result?.kind !== 'written') return;
          const { left, freedBytes } = await settle(sessionId, pending, result.moved);
          await live.release(sessionId, { token, freedBytes, dirtySince: left > 0 ? dirtySince : null });
        }),
      );
      telemetry.sessionsSynced.tell({ messages, ms: msSince(began), ok: true });
      return written.reduce((sum, { stored: n }) => sum + n, 0);
    } catch (error) {
      telemetry.sessionsSynced.tell({ messages: 0, ms: msSince(began), ok: false });
      // The leases would run out by themselves; this is sooner.
      await Promise.allSettled(
        batch.map(({ sessionId, token, dirtySince }) => live.release(sessionId, { token, freedBytes: 0, dirtySince })),
      );
      throw error;
    }
  }

  /** After the commit: what was written is pending no more. */
  async function settle(sessionId: string, pending: Pending, moved: readonly string[]) {
    if (pending.lostIds.length > 0)
      log.error(
        { session_id: sessionId, messages: pending.lostIds.length },
        'Redis has lost the text of pending messages: its maxmemory-policy evicts keys that never expire',
      );
    const ids = [...pending.messages.map((m) => m.messageId), ...pending.lostIds];
    const synced = await live.synced(sessionId, ids);
    unsynced.remove(sessionId, ids);
    if (moved.length > 0) await live.forget(sessionId, moved);
    return synced;
  }

  async function one(sessionId: string): Promise<boolean> {
    for (;;) {
      const pending = await live.readPending(sessionId, wholeSession);
      if (pending === null || (pending.messages.length === 0 && pending.end === null && pending.lostIds.length === 0))
        return true;
      const [result] = await stored.write([pending], 0);
      if (result?.kind !== 'written') return false;
      const { left, freedBytes } = await settle(sessionId, pending, result.moved);
      if (freedBytes > 0) await live.releaseBytes(freedBytes);
      if (left === 0) return true;
    }
  }

  async function loop(): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      await pause(lookMs, stop.signal);
      if (stop.signal.aborted || !options.isUp()) continue;
      try {
        const due = [...nudged];
        nudged.clear();
        for (const sessionId of due) await one(sessionId);
        await syncClaims(options.intervalMs);
        failures = 0;
      } catch (error) {
        if (failures++ === 0)
          log.warn({ err: error }, 'sessions could not be synced; they stay in Redis until they can');
        await pause(Math.min(30_000, 1_000 * 2 ** Math.min(failures, 5)), stop.signal);
      }
    }
  }

  const looping = loop();
  return {
    all: () => syncClaims(0),
    one,
    nudge: (sessionId) => void nudged.add(sessionId),
    async close(withinMs) {
      stop.abort();
      await settlesWithin(looping, withinMs);
      if (!options.isUp()) return;
      const last = syncClaims(0).catch((error: unknown) =>
        log.warn({ err: error }, 'the last sync was not finished; Redis keeps what is pending'),
      );
      await settlesWithin(last, withinMs);
    },
  };
}

/** A batch fits a packet; a session is never divided. */
function batchesOf(work: readonly Work[]): Work[][] {
  const batches: Work[][] = [];
  let messages = Number.POSITIVE_INFINITY;
  let bytes = 0;
  for (const one of work) {
    const size = one.pending.messages.reduce((sum, m) => sum + 3 * m.text.length, 0);
    messages += one.pending.messages.length;
    bytes += size;
    if (messages > maxMessages || bytes > maxBytes) {
      batches.push([]);
      messages = one.pending.messages.length;
      bytes = size;
    }
    batches.at(-1)?.push(one);
  }
  return batches;
}
