import { Problem } from '../runtime/http/problem.ts';
import type { Logger } from '../runtime/log.ts';
import { pause } from '../runtime/wait.ts';
import type { EndSession } from './end.ts';
import type { LiveSessions, StoredSessions } from './ports.ts';

const lookMs = 5_000;
/** Longer than an end takes whose caller is still there. */
const unfinishedMs = 15_000;
const page = 100;

/**
 * Finishes interrupted ends, brings back sessions that were continued in the database, and ends idle ones. One process
 * of the fleet at a time.
 *
 * @param options.idleMs  null: sessions end only when somebody ends them.
 */
export async function runSweep(options: {
  readonly live: Pick<LiveSessions, 'leaseSweep'>;
  readonly stored: Pick<StoredSessions, 'idleFor' | 'endingFor'>;
  readonly endSession: EndSession;
  readonly reattach: () => Promise<number>;
  readonly isUp: () => boolean;
  readonly idleMs: number | null;
  readonly stop: AbortSignal;
  readonly log: Logger;
}): Promise<void> {
  const { live, stored, endSession, log } = options;

  async function each(sessionIds: readonly string[], work: (sessionId: string) => Promise<unknown>): Promise<void> {
    for (const sessionId of sessionIds) {
      try {
        await work(sessionId);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        log.error({ err: error, session_id: sessionId, code: error.code }, 'a session cannot be ended, and stays open');
      }
    }
  }

  while (!options.stop.aborted) {
    await pause(lookMs, options.stop);
    if (options.stop.aborted || !options.isUp()) continue;
    try {
      if (!(await live.leaseSweep(lookMs - 500))) continue;
      await options.reattach();
      await each(await stored.endingFor(unfinishedMs, page), (id) => endSession.finish(id));
      if (options.idleMs === null) continue;
      const { idleMs } = options;
      await each(await stored.idleFor(idleMs, page), (id) => endSession.endIfIdle(id, idleMs));
    } catch (error) {
      log.debug({ err: error }, 'the sweep of sessions failed; trying again in 5 s');
    }
  }
}
