import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { createAllowance, tooMany } from './allowance.ts';
import { notFound } from './not-found.ts';
import {
  historyLength,
  type Limits,
  type LiveSessions,
  type Message,
  type NewMessage,
  type Refusal,
  type StoredSessions,
  type Taken,
} from './ports.ts';
import type { Sync } from './sync.ts';
import type { Unsynced } from './unsynced.ts';

/** @param from  replies are exempt from the limits per minute. */
export type TakeMessages = (
  sessionId: string,
  messages: readonly NewMessage[],
  from: 'caller' | 'responder',
) => Promise<readonly Taken[]>;

const retryAfterSeconds = 2;

/**
 * Takes messages: from Redis, and while Redis is away, from the database, with the same answers.
 */
export function createTake(options: {
  readonly live: LiveSessions;
  readonly stored: StoredSessions;
  readonly unsynced: Unsynced;
  readonly sync: Pick<Sync, 'nudge'>;
  /** Gives the database what this process knows of a session, and Redis may have lost. */
  readonly writeCopies: (sessionId: string) => Promise<'written' | 'nothing' | 'unknown'>;
  readonly isUp: () => boolean;
  readonly limits: Limits;
  /** Messages pending in one session after which it is synced at once. */
  readonly syncAtPending: number;
  readonly log: Logger;
}): { readonly take: TakeMessages; readonly load: (sessionId: string) => Promise<boolean> } {
  const { live, stored, unsynced, limits, log } = options;
  const allow = createAllowance(limits.perMinute);
  const unlimited = { ...limits, perMinute: 0, perMinuteOfUser: 0 };

  /** @returns whether there is such a session. */
  async function load(sessionId: string): Promise<boolean> {
    if ((await options.writeCopies(sessionId)) === 'unknown')
      throw new PipelineError('transient', 'SESSION_NOT_STORED', 'another process may have to store the session first');
    const session = await stored.find(sessionId);
    if (session === null) return false;
    await live.load(session, await stored.lastMessages(sessionId, historyLength));
    return true;
  }

  async function takeLive(
    sessionId: string,
    messages: readonly NewMessage[],
    allowed: Limits,
  ): Promise<readonly Taken[]> {
    let isLoaded = false;
    let isAsked = false;
    for (;;) {
      const appended = await live.append(sessionId, messages, { limits: allowed, isAsked });
      if (typeof appended === 'object' && 'taken' in appended) {
        unsynced.add(sessionId, toMessages(messages, appended.taken));
        if (appended.pending >= options.syncAtPending) options.sync.nudge(sessionId);
        return appended.taken;
      }
      if (appended === 'missing' && !isLoaded && (await load(sessionId))) isLoaded = true;
      else if (appended === 'ask') {
        const known = await stored.findTaken(
          sessionId,
          messages.map((m) => m.messageId),
        );
        if (known.size > 0) return takeRest(sessionId, messages, known, allowed);
        isAsked = true;
      } else throw refused(appended);
    }
  }

  /** Some of the messages are so old that only the database knows them. */
  async function takeRest(
    sessionId: string,
    messages: readonly NewMessage[],
    known: ReadonlyMap<string, Taken>,
    allowed: Limits,
  ): Promise<readonly Taken[]> {
    const rest = messages.filter((m) => !known.has(m.messageId));
    const all = new Map(known);
    if (rest.length > 0)
      for (const [i, one] of (await takeLive(sessionId, rest, allowed)).entries())
        all.set(rest[i]?.messageId ?? '', one);
    return messages.map((m) => all.get(m.messageId) as Taken);
  }

  /** Null: Redis has not done it, or nobody can tell whether it has. The database then takes the same ids. */
  async function unlessAway(
    sessionId: string,
    messages: readonly NewMessage[],
    from: 'caller' | 'responder',
  ): Promise<readonly Taken[] | null> {
    try {
      return await takeLive(sessionId, messages, from === 'caller' ? limits : unlimited);
    } catch (error) {
      if (!(error instanceof PipelineError) || error.code !== 'REDIS_UNAVAILABLE') throw error;
      log.debug({ err: error }, 'a message goes straight to the database');
      return null;
    }
  }

  async function takeStored(sessionId: string, messages: readonly NewMessage[]): Promise<readonly Taken[]> {
    const before = unsynced.of(sessionId);
    const head = unsynced.headOf(sessionId);
    if (head !== null) await stored.create(head);
    const taken = await stored.take(sessionId, messages, { unsynced: before, limits });
    // Another process may have created it in Redis while the database was away.
    if (taken === 'missing')
      throw new PipelineError('transient', 'REDIS_UNAVAILABLE', 'the database has no such session, and Redis is away');
    if (typeof taken === 'string') throw refused(taken);
    unsynced.remove(
      sessionId,
      before.map((m) => m.messageId),
    );
    return taken;
  }

  return {
    load,
    async take(sessionId, messages, from) {
      if (from === 'caller' && limits.perMinute > 0 && messages.length > limits.perMinute)
        throw new Problem(
          422,
          'too_many_messages_at_once',
          `a session may send ${limits.perMinute} messages per minute`,
        );
      const began = performance.now();
      const about: { source: 'redis' | 'database' } = { source: 'redis' };
      const taken = await spans.take.around(about, async () => {
        const live = options.isUp() ? await unlessAway(sessionId, messages, from) : null;
        if (live !== null) return live;
        about.source = 'database';
        if (from === 'caller') await allow(sessionId, messages.length);
        return takeStored(sessionId, messages);
      });
      const ms = msSince(began);
      for (const { isReplay } of taken) telemetry.sessionMessage.tell({ from: about.source, isReplay, ms });
      return taken;
    },
  };
}

function toMessages(messages: readonly NewMessage[], taken: readonly Taken[]): Message[] {
  return messages.flatMap(({ isNamed: _, ...message }, i) => {
    const { position, isReplay } = taken[i] as Taken;
    return isReplay ? [] : [{ ...message, position }];
  });
}

function refused(reason: Exclude<Refusal, 'ask'>): Problem {
  if (typeof reason === 'object') return tooMany(reason.whose, reason.limitedForMs);
  switch (reason) {
    case 'missing':
      return notFound();
    case 'ended':
      return new Problem(409, 'session_ended', 'the session has ended and takes no more messages');
    case 'full':
      return new Problem(
        409,
        'session_full',
        'the session holds as much as one conversation may: end it, and begin another',
      );
    case 'too-much-pending':
      return new Problem(503, 'too_much_pending', 'the database has not taken earlier messages yet; try again later', {
        retryAfterSeconds,
      });
  }
}
