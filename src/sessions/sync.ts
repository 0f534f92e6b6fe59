import pLimit from 'p-limit';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { pause, settlesWithin } from '../runtime/wait.ts';
import {
  type Claim,
  type LiveSessions,
  type Pending,
  type StoredSessions,
  type Written,
  wholeSession,
} from './ports.ts';
import { tellLate } from './tell-late.ts';
import type { Unsynced } from './unsynced.ts';

/** Keeps transactions short, and statements far below `max_allowed_packet` (16 MiB by default). */
const maxMessages = 1_000;
const maxBytes = 4 * 1_024 * 1_024;
const sessionsPerClaim = 100;
const readsAtOnce = 25;
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

/** `failure`: what some sessions could not be written for. */
type Done = { messages: number; failure: unknown };
type WrittenOurs = Extract<Written, { kind: 'written' }>;
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
  /** As in recover.ts. */
  readonly writeCopies: (sessionId: string) => Promise<unknown>;
  readonly intervalMs: number;
  readonly log: Logger;
}): Sync {
  const { live, stored, unsynced, log } = options;
  const stop = new AbortController();
  const nudged = new Set<string>();
  const limit = pLimit(writesAtOnce);
  const limitAlone = pLimit(writesAtOnce);

  async function syncClaims(dirtyForMs: number): Promise<number> {
    const began = performance.now();
    let messages = 0;
    let failure: unknown = null;
    for (;;) {
      // Only what was dirty when it began: otherwise it would not end as long as people talk.
      const forMs = dirtyForMs + Math.floor(msSince(began));
      const { token, claims } = await live.claim({ dirtyForMs: forMs, limit: sessionsPerClaim, leaseMs });
      if (claims.length === 0) break;
      const done = await syncLeased(token, claims);
      messages += done.messages;
      failure ??= done.failure;
    }
    // What could not be written keeps its lease, and so waits for half a minute.
    if (failure !== null && messages === 0) throw failure;
    return messages;
  }

  /** Some sessions are read at a time, because together they may be large, while those before them are written. */
  async function syncLeased(token: number, claims: readonly Claim[]): Promise<Done> {
    const done: Done = { messages: 0, failure: null };
    let writing: Promise<unknown> = Promise.resolve();
    for (let i = 0; i < claims.length; i += readsAtOnce) {
      const read = await Promise.all(
        claims.slice(i, i + readsAtOnce).map(async (claim) => {
          const pending = await live.readPending(claim.sessionId, wholeSession);
          if (pending === null) await live.release(claim.sessionId, { token, freedBytes: 0, dirtySince: null });
          return pending && { ...claim, token, pending: withCopies(pending) };
        }),
      );
      await writing;
      const batches = batchesOf(read.filter((work) => work !== null));
      writing = Promise.all(
        batches.map((batch) =>
          limit(async () => {
            const result = await syncBatch(batch);
            done.messages += result.messages;
            done.failure ??= result.failure;
          }),
        ),
      );
      writing.catch(() => {}); // awaited with the next ones, or below
    }
    await writing;
    return done;
  }

  /** A text that Redis has lost may still be known to this process. */
  function withCopies(pending: Pending): Pending {
    if (pending.lostIds.length === 0) return pending;
    const lost = new Set(pending.lostIds);
    const copies = unsynced.of(pending.session.sessionId).filter((m) => lost.delete(m.messageId));
    const messages = [...pending.messages, ...copies].sort((a, b) => a.position - b.position);
    return { ...pending, messages, lostIds: [...lost] };
  }

  /** @throws if nothing can be written: the sessions are then dirty again. */
  async function syncBatch(batch: readonly Work[]): Promise<Done> {
    try {
      return { messages: await writeBatch(batch), failure: null };
    } catch (failure) {
      const [first, last] = [batch[0], batch.at(-1)] as [Work, Work];
      if (batch.length === 1) return { messages: 0, failure };
      // One session that cannot be written must not hold up the others. If two cannot, the database is away.
      const alone = await Promise.allSettled([first, last].map((work) => writeBatch([work])));
      if (alone.every(({ status }) => status === 'rejected')) {
        await giveBack(batch);
        throw failure;
      }
      const rest = await Promise.allSettled(batch.slice(1, -1).map((work) => limitAlone(() => writeBatch([work]))));
      const counts = [...alone, ...rest].map((one) => (one.status === 'fulfilled' ? one.value : 0));
      return { messages: counts.reduce((sum, n) => sum + n, 0), failure };
    }
  }

  /** The leases would run out by themselves; this is sooner. */
  async function giveBack(batch: readonly Work[]): Promise<void> {
    await Promise.allSettled(
      batch.map(({ sessionId, token, dirtySince }) => live.release(sessionId, { token, freedBytes: 0, dirtySince })),
    );
  }

  async function writeBatch(batch: readonly Work[]): Promise<number> {
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
          const result = await ours(byId.get(sessionId));
          if (result === null) return;
          const { left, freedBytes } = await settle(sessionId, pending, result);
          await live.release(sessionId, { token, freedBytes, dirtySince: left > 0 ? dirtySince : null });
        }),
      );
      telemetry.sessionsSynced.tell({ messages, ms: msSince(began), ok: true });
      return written.reduce((sum, { stored: n }) => sum + n, 0);
    } catch (error) {
      telemetry.sessionsSynced.tell({ messages: 0, ms: msSince(began), ok: false });
      throw error;
    }
  }

  /** @returns null, after telling why, if the session was not written. */
  async function ours(result: Written | undefined): Promise<WrittenOurs | null> {
    if (result === undefined || result.kind === 'written') return result ?? null;
    const { sessionId } = result;
    if (result.kind === 'fenced') {
      log.warn({ session_id: sessionId }, 'a later lease has written this session; it is written again with a new one');
      await live.raiseFence(result.token);
    } else
      log.error({ session_id: sessionId }, 'Redis has a session under an id that another user has in the database');
    return null;
  }

  /** After the commit: what was written is pending no more. */
  async function settle(sessionId: string, pending: Pending, { moved, state, stored: fresh }: WrittenOurs) {
    if (pending.lostIds.length > 0)
      log.error(
        { session_id: sessionId, messages: pending.lostIds.length },
        'Redis has lost the text of pending messages: its maxmemory-policy evicts keys that never expire',
      );
    const ids = [...pending.messages.map((m) => m.messageId), ...pending.lostIds];
    const synced = await live.synced(sessionId, ids);
    unsynced.remove(sessionId, ids);
    if (state === 'ended') {
      // Redis did not know, for example because it lost its last second.
      if (fresh > 0) tellLate(log, sessionId, fresh);
      await live.setState(sessionId, 'ended');
    }
    if (moved.length > 0) await live.forget(sessionId, moved);
    return synced;
  }

  async function one(sessionId: string): Promise<boolean> {
    for (;;) {
      const read = await live.readPending(sessionId, wholeSession);
      const pending = read && withCopies(read);
      if (pending === null || (pending.messages.length === 0 && pending.end === null && pending.lostIds.length === 0))
        return true;
      const [written] = await stored.write([pending], 0);
      const result = await ours(written);
      if (result === null) return false;
      const { left, freedBytes } = await settle(sessionId, pending, result);
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
        for (const sessionId of due)
          await one(sessionId).catch((error: unknown) => log.debug({ err: error }, 'a session is synced in its time'));
        await syncClaims(options.intervalMs);
        failures = 0;
      } catch (error) {
        if (failures++ === 0)
          log.warn({ err: error }, 'sessions could not be synced; they stay in Redis until they can');
        await pause(Math.min(30_000, 1_000 * 2 ** Math.min(failures, 5)), stop.signal);
      }
    }
  }

  /** Redis may never come back with them, and this process ends. */
  async function writeAllCopies(): Promise<void> {
    for (const sessionId of unsynced.sessions()) await options.writeCopies(sessionId);
  }

  const looping = loop();
  return {
    all: () => syncClaims(0),
    one,
    nudge: (sessionId) => void nudged.add(sessionId),
    async close(withinMs) {
      const began = performance.now();
      stop.abort();
      await settlesWithin(looping, withinMs);
      const last = (options.isUp() ? syncClaims(0) : writeAllCopies()).catch((error: unknown) =>
        log.warn({ err: error }, 'the last sync was not finished; Redis keeps what it has'),
      );
      await settlesWithin(last, Math.max(0, withinMs - msSince(began)));
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
