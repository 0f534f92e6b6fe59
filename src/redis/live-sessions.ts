import { randomUUID } from 'node:crypto';
import { type EndRequest, historyLength, type LiveSessions } from '../sessions/ports.ts';
import { clusterIndex } from './cluster-index.ts';
import type { RedisLink } from './connect.ts';
import { asRecord, fieldsOf, toHistory, toMessages, toSession } from './encoding.ts';
import { index, keysOf, messagePrefix } from './keys.ts';
import { type Refused, toRefusal } from './refused.ts';

/**
 * @param options.ttlMs  how long a session without anything pending stays, and a message after its sync. Pending ones
 *   stay until they are synced.
 */
export function liveSessions(link: RedisLink, { ttlMs }: { readonly ttlMs: number }): LiveSessions {
  const { run } = link;
  /** Null: one server has the sessions and their index, and its scripts mark by themselves. */
  const apart = link.isCluster ? clusterIndex(link) : null;
  const withIndex = (sessionId: string) => [...keysOf(sessionId), ...(apart === null ? [index.dirty] : [])];
  return {
    async create(head, isStored) {
      const fields = fieldsOf({
        ...head,
        state: 'open',
        activeAt: head.startedAt,
        messages: 0,
        lastPosition: 0,
        bytes: 0,
      });
      const keys = withIndex(head.sessionId);
      const create = () =>
        run<[string[], string] | null>((redis) =>
          redis.afterwordCreate(
            ...[keys.length, ...keys, isStored ? ttlMs : 0, fields.length],
            ...[...fields, head.sessionId],
          ),
        );
      const there = await (apart === null || isStored ? create() : apart.marked(head.sessionId, create));
      return there && toSession(head.sessionId, ...there);
    },

    async load(session, history) {
      // Only the database knows the ids of the messages that came before.
      const fields = [...fieldsOf(session), 'forgets_at', 0];
      await run((redis) =>
        redis.afterwordLoad(
          ...keysOf(session.sessionId),
          ttlMs,
          session.questions,
          fields.length,
          ...fields,
          ...history.map((m) => [m.messageId, m.position, 0, m.role, m.sentAt.getTime(), m.text].join('\n')),
        ),
      );
    },

    async append(sessionId, messages, { limits, isAsked }) {
      const admitted = apart && (await apart.admit(sessionId, messages, limits));
      if (admitted !== null && 'refused' in admitted) return toRefusal(admitted.refused);
      const keys = [
        ...keysOf(sessionId),
        ...(apart === null ? [index.dirty, index.bytes] : []),
        ...messages.map((m) => messagePrefix(sessionId) + m.messageId),
      ];
      const answer = await run<Refused | [number, [number, number, number][]]>((redis) =>
        redis.afterwordAppend(
          keys.length,
          ...keys,
          apart === null ? 1 : 0,
          limits.messages,
          limits.bytes,
          isAsked ? 1 : 0,
          historyLength,
          limits.perMinute,
          limits.perMinuteOfUser,
          limits.pendingBytes,
          ...messages.flatMap((m) => [m.messageId, m.isNamed ? 1 : 0, m.role, m.sentAt.getTime(), m.text]),
        ),
      );
      if (typeof answer === 'string' || answer[0] === 'limited') {
        await admitted?.giveBack(messages);
        return toRefusal(answer as Refused);
      }
      const [pending, taken] = answer as [number, [number, number, number][]];
      // Another call with the same messages was first.
      await admitted?.giveBack(messages.filter((_, i) => taken[i]?.[2] === 1));
      if (pending > 0) await apart?.mark(sessionId);
      return {
        pending,
        taken: taken.map(([position, questions, replay]) => ({ position, questions, isReplay: replay === 1 })),
      };
    },

    async releaseBytes(bytes) {
      // Not DECRBY alone, which a full Redis refuses.
      const keys = [index.dirty, index.leased, index.tokens, index.bytes];
      await run((redis) => redis.afterwordRelease(...keys, '', '', bytes, ''));
    },

    async view(sessionId) {
      const found = await run<[string[], string, string[], number] | null>((redis) =>
        redis.afterwordView(...keysOf(sessionId)),
      );
      if (found === null) return null;
      const [fields, questions, history, pending] = found;
      return { ...toSession(sessionId, fields, questions), history: history.map(toHistory), pending };
    },

    async pendingAfter(sessionId, position, limit) {
      const found = await readPending(sessionId, `(${position}`, limit);
      return found === null ? [] : toMessages(found[2], found[3]).messages;
    },

    async fates(sessionId, messageIds) {
      const fates = await Promise.all(
        messageIds.map((id) =>
          Promise.all([
            run<number>((redis) => redis.exists(messagePrefix(sessionId) + id)),
            run<string | null>((redis) => redis.zscore(keysOf(sessionId)[3] as string, id)),
          ]),
        ),
      );
      return {
        lost: messageIds.filter((_, i) => fates[i]?.[0] === 0),
        pending: messageIds.filter((_, i) => fates[i]?.[1] !== null),
      };
    },

    async close(sessionId, end, idleMs) {
      const keys = withIndex(sessionId);
      const close = () =>
        run<['closed', string] | ['active'] | null>((redis) =>
          redis.afterwordClose(...[keys.length, ...keys, JSON.stringify(end), idleMs, sessionId]),
        );
      const answer = await (apart === null ? close() : apart.marked(sessionId, close));
      if (answer === null) return null;
      return answer[0] === 'active' ? 'active' : (JSON.parse(answer[1]) as EndRequest);
    },

    async setState(sessionId, state) {
      await run((redis) => redis.afterwordState(...keysOf(sessionId), state));
    },

    async forget(sessionId, movedIds) {
      const done = await run<number>((redis) =>
        redis.afterwordForget(...keysOf(sessionId), messagePrefix(sessionId), ...movedIds),
      );
      return done === 1;
    },

    async raiseFence(token) {
      await run((redis) => redis.afterwordRaiseFence(index.fence, String(token)));
    },

    async claim({ dirtyForMs, limit, leaseMs }) {
      const keys = [index.dirty, index.leased, index.tokens, index.fence];
      const [token = '0', ...pairs] = await run<string[]>((redis) =>
        redis.afterwordClaim(...keys, dirtyForMs, limit, leaseMs),
      );
      const claims = [];
      for (let i = 0; i + 1 < pairs.length; i += 2)
        claims.push({ sessionId: pairs[i] as string, dirtySince: new Date(Number(pairs[i + 1])) });
      return { token: Number(token), claims };
    },

    async readPending(sessionId, limit) {
      const found = await readPending(sessionId, '-inf', limit);
      if (found === null) return null;
      const [fields, questions, ids, values] = found;
      const end = asRecord(fields)['end'];
      return {
        session: toSession(sessionId, fields, questions),
        end: end === undefined ? null : (JSON.parse(end) as EndRequest),
        ...toMessages(ids, values),
      };
    },

    async synced(sessionId, messageIds) {
      const [left, freedBytes] = await run<[number, number]>((redis) =>
        redis.afterwordSynced(...keysOf(sessionId), messagePrefix(sessionId), ttlMs, ...messageIds),
      );
      return { left, freedBytes };
    },

    async release(sessionId, { token, freedBytes, dirtySince }) {
      const keys = [index.dirty, index.leased, index.tokens, index.bytes];
      await run((redis) =>
        redis.afterwordRelease(...keys, sessionId, String(token), freedBytes, dirtySince?.getTime() ?? ''),
      );
    },

    async backlog() {
      const [sessions, bytes, oldest] = await run<[number, number, string]>((redis) =>
        redis.afterwordBacklog(index.dirty, index.leased, index.bytes),
      );
      return { sessions, bytes, oldest: oldest === '' ? null : new Date(Number(oldest)) };
    },

    leaseSweep: async (ms) => (await run((redis) => redis.set(index.sweep, randomUUID(), 'PX', ms, 'NX'))) === 'OK',
  };

  function readPending(sessionId: string, from: string, limit: number) {
    return run<[string[], string, string[], string[]] | null>((redis) =>
      redis.afterwordPending(...keysOf(sessionId), messagePrefix(sessionId), from, limit),
    );
  }
}
