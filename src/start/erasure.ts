import { setTimeout as delay } from 'node:timers/promises';
import { openDeadLetters } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { createErase, type Erase } from '../erasure/index.ts';
import type { EraseLetters, EraseLive } from '../erasure/ports.ts';
import type { EventId } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import { noteAction, type Store, userEraser } from '../store/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';
import { mostBehindMs } from './replica.ts';

/** From the moment at which a read saw something to the one at which it is kept. */
const readMs = 500;

/** @param live  null: there are no live sessions. @param forget  what this process keeps of a user. */
export function openErasure(
  config: Config,
  store: Store,
  live: EraseLive | null,
  forget: (userId: string) => void = () => {},
): Erase {
  return createErase({
    tables: userEraser(store, deadlineMs),
    live,
    letters: eraseLetters(config),
    async untilForgotten(userId) {
      forget(userId);
      // Others keep what they have read for so long, and may be reading it now: from a replica, if there is one, that
      // still has it.
      const behindMs = config.databaseReadUrl === null ? 0 : mostBehindMs(config);
      if (config.responseCacheMs + behindMs > 0) await delay(config.responseCacheMs + behindMs + readMs);
      forget(userId);
    },
    record: (actor, what) => noteAction(store, { actor, kind: 'erase', target: 'a user', value: what }, deadlineMs),
  });
}

function eraseLetters(config: Config): EraseLetters {
  return async (userId, events) => {
    const letters = await openDeadLetters({
      url: config.rabbitmqUrl,
      queueName: config.queueName,
      name: `afterword erasure ${process.pid}`,
    }).catch((cause: unknown) => {
      if (cause instanceof PipelineError) throw cause;
      const detail = 'the broker is away, and its dead letters may name the user: repeat this when it is back';
      throw new PipelineError('transient', 'BROKER_UNAVAILABLE', detail, { cause });
    });
    try {
      let removed = 0;
      await letters.walk(await letters.count(), async ({ messageId, body }) => {
        if (!events.has(messageId as EventId) && userIn(body) !== userId) return 'leave';
        removed++;
        return 'settled';
      });
      return removed;
    } finally {
      await letters.close();
    }
  };
}

function userIn(body: Buffer): unknown {
  try {
    return (JSON.parse(body.toString()) as { user_id?: unknown } | null)?.user_id;
  } catch {
    return undefined; // not ours
  }
}
