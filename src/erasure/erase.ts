import type { EventId } from '../event/event.ts';
import { faultOf, PipelineError } from '../event/fault.ts';
import { pause } from '../runtime/wait.ts';
import type { Erased, EraseLetters, EraseLive, EraseUser } from './ports.ts';

/** Somebody who goes on sending while they are erased is erased again, so often. */
const mostRounds = 20;
/** A page that loses a lock to the fleet is made again. */
const mostTries = 5;
const never = new AbortController().signal;

export type Erase = (userId: string, actor: string) => Promise<Erased>;

/**
 * Removes a user: events with their texts, open ones too, live sessions, friendship and topics, what the ledger has,
 * and dead letters. Attempts that are running find their event gone. Then looks for what is left. Whoever is not there
 * has nothing to remove: it may be repeated, and has to be if it failed.
 *
 * @throws {PipelineError} transient: something is away, or something was left.
 */
export function createErase(options: {
  readonly tables: EraseUser;
  /** Null: there are no live sessions. */
  readonly live: EraseLive | null;
  readonly letters: EraseLetters;
  /** Without whose it was. */
  readonly record: (actor: string, what: string) => Promise<void>;
  /** Resolves when no API shows any longer what it read before. */
  readonly untilForgotten: (userId: string) => Promise<unknown>;
}): Erase {
  const { tables, live, letters } = options;

  /** All pages. @returns how many rows went. */
  async function all(page: () => Promise<number>): Promise<number> {
    let total = 0;
    for (;;) {
      const went = await patiently(page);
      if (went === 0) return total;
      total += went;
    }
  }

  return async (userId, actor) => {
    const events = new Set<EventId>();
    let conversations = 0;
    let sessions = 0;
    for (let round = 1; ; round++) {
      const known = await tables.sessionIds(userId);
      // First, so that nothing is written from there to the tables any more.
      const inRedis = (await live?.(userId, known)) ?? [];
      await tables.rememberSessions(inRedis);
      sessions += inRedis.filter((id) => !known.includes(id)).length;
      sessions += await all(() => tables.sessions(userId));
      conversations += await all(async () => {
        const went = await tables.events(userId);
        for (const id of went) events.add(id);
        return went.length;
      });
      const isGone = await patiently(() => tables.friendship(userId));
      if (isGone && Object.keys(await tables.search(userId)).length === 0) break;
      if (round === mostRounds)
        throw new PipelineError('transient', 'STILL_THERE', 'the user goes on sending while it is erased');
    }
    const forgotten = options.untilForgotten(userId);
    const deadLetters = await letters(userId, events).finally(() => forgotten);
    const erased = { conversations, sessions, deadLetters };
    await options.record(actor, `${conversations} conversations, ${sessions} sessions, ${deadLetters} dead letters`);
    return erased;
  };
}

async function patiently<T>(page: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await page();
    } catch (error) {
      if (faultOf(error) !== 'transient' || tries === mostTries) throw error;
      await pause(100 * tries, never);
    }
  }
}
