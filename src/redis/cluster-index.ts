import type { Limits, NewMessage } from '../sessions/ports.ts';
import type { RedisLink } from './connect.ts';
import { index, messagePrefix, prefix } from './keys.ts';
import type { Refused } from './refused.ts';

type Admission =
  | { readonly refused: Refused }
  | {
      /** For messages that were not taken after all. */
      giveBack(messages: readonly NewMessage[]): Promise<void>;
    };

/**
 * The index of a cluster, which is in another slot than the sessions, so that no script reaches both. A mark without a
 * message costs one read; a message without a mark would never be synced. So a session is marked before, in case this
 * process dies in between, and again afterwards, in case a sync has used up the mark.
 */
export function clusterIndex({ run }: Pick<RedisLink, 'run'>) {
  async function mark(sessionId: string): Promise<void> {
    await run((redis) => redis.afterwordMark(index.dirty, sessionId));
  }

  async function unknown(sessionId: string, messages: readonly NewMessage[]): Promise<readonly NewMessage[]> {
    const known = await Promise.all(
      messages.map((m) => run<number>((redis) => redis.exists(messagePrefix(sessionId) + m.messageId))),
    );
    return messages.filter((_, i) => known[i] === 0);
  }

  return {
    mark,

    async marked<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
      await mark(sessionId);
      const result = await work();
      await mark(sessionId);
      return result;
    },

    /** Marks the session, and counts what is new of `messages`. Null: there is nothing to count. */
    async admit(sessionId: string, messages: readonly NewMessage[], limits: Limits): Promise<Admission | null> {
      const user = await run<string | null>((redis) => redis.hget(`${prefix(sessionId)}meta`, 'user'));
      const fresh = user === null ? [] : await unknown(sessionId, messages);
      if (fresh.length === 0) return null;
      const sent = `{sessions}:sent:${user}`;
      const counts = limits.perMinuteOfUser > 0;
      const refused = await run<Refused | null>((redis) =>
        redis.afterwordAdmit(
          ...[index.dirty, index.bytes, sent, sessionId],
          ...[bytesOf(fresh), fresh.length, limits.perMinuteOfUser, limits.pendingBytes],
        ),
      );
      if (refused !== null) return { refused };
      return {
        async giveBack(unused) {
          const counted = unused.filter((m) => fresh.includes(m));
          if (counted.length === 0) return;
          await run((redis) => redis.decrby(index.bytes, bytesOf(counted)));
          if (counts) await run((redis) => redis.decrby(sent, counted.length));
        },
      };
    },
  };
}

function bytesOf(messages: readonly NewMessage[]): number {
  return messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
}
