import { randomUUID } from 'node:crypto';
import type {
  EndRequest,
  Limits,
  LiveSessions,
  Message,
  NewMessage,
  Refusal,
  Role,
  Session,
  SessionHead,
  SessionState,
} from '../sessions/ports.ts';
import type { RedisLink } from './connect.ts';

const historyLength = 10;

/** One slot of a cluster: what is true of all sessions changes in one step. */
const index = {
  dirty: '{sessions}:dirty',
  leased: '{sessions}:leased',
  tokens: '{sessions}:tokens',
  fence: '{sessions}:fence',
  bytes: '{sessions}:bytes',
  sweep: '{sessions}:sweep',
} as const;

/** The id in braces keeps a session in one slot. */
const prefix = (sessionId: string) => `session:{${sessionId}}:`;
const messagePrefix = (sessionId: string) => `${prefix(sessionId)}msg:`;
const keysOf = (sessionId: string) =>
  ['meta', 'count', 'history', 'pending_msgs'].map((name) => prefix(sessionId) + name);

/**
 * @param options.ttlMs  how long a session without anything pending stays, and a message after its sync. Pending ones
 *   stay until they are synced.
 */
export function liveSessions(link: RedisLink, { ttlMs }: { readonly ttlMs: number }): LiveSessions {
  const { run } = link;
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
      const there = await marked(head.sessionId, !isStored, () =>
        run<[string[], string] | null>((redis) =>
          redis.afterwordCreate(
            ...[keys.length, ...keys, isStored ? ttlMs : 0, fields.length],
            ...[...fields, head.sessionId],
          ),
        ),
      );
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
      const { isCluster } = link;
      const admitted = isCluster ? await admit(sessionId, messages, limits) : null;
      if (admitted !== null && 'refused' in admitted) return toRefusal(admitted.refused);
      const keys = [
        ...keysOf(sessionId),
        ...(isCluster ? [] : [index.dirty, index.bytes]),
        ...messages.map((m) => messagePrefix(sessionId) + m.messageId),
      ];
      const answer = await run<Refused | [number, [number, number, number][]]>((redis) =>
        redis.afterwordAppend(
          keys.length,
          ...keys,
          isCluster ? 0 : 1,
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
        await admitted?.giveBack();
        return toRefusal(answer as Refused);
      }
      const [pending, taken] = answer as [number, [number, number, number][]];
      // A sync may have used up the mark before these messages came.
      if (isCluster && pending > 0) await mark(sessionId);
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
      const answer = await marked(sessionId, true, () =>
        run<['closed', string] | ['active'] | null>((redis) =>
          redis.afterwordClose(...[keys.length, ...keys, JSON.stringify(end), idleMs, sessionId]),
        ),
      );
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

  function withIndex(sessionId: string): string[] {
    return [...keysOf(sessionId), ...(link.isCluster ? [] : [index.dirty])];
  }

  function mark(sessionId: string) {
    return run((redis) => redis.afterwordMark(index.dirty, sessionId));
  }

  /**
   * In a cluster, the index is in another slot: the session is marked before, in case this process dies in between, and
   * afterwards, in case a sync has used up the mark.
   */
  async function marked<T>(sessionId: string, isNeeded: boolean, work: () => Promise<T>): Promise<T> {
    if (!link.isCluster || !isNeeded) return work();
    await mark(sessionId);
    const result = await work();
    await mark(sessionId);
    return result;
  }

  /**
   * In a cluster, the index is in another slot. A mark without a message costs one read; a message without a mark would
   * never be synced: the mark comes first.
   */
  async function admit(sessionId: string, messages: readonly NewMessage[], limits: Limits) {
    const user = await run<string | null>((redis) => redis.hget(`${prefix(sessionId)}meta`, 'user'));
    if (user === null) return null;
    const fresh = new Set(
      await unknown(
        sessionId,
        messages.map((m) => m.messageId),
      ),
    );
    if (fresh.size === 0) return null;
    const bytes = messages.reduce((sum, m) => sum + (fresh.has(m.messageId) ? Buffer.byteLength(m.text) : 0), 0);
    const sent = `{sessions}:sent:${user}`;
    const refused = await run<Refused | null>((redis) =>
      redis.afterwordAdmit(
        ...[index.dirty, index.bytes, sent, sessionId],
        ...[bytes, fresh.size, limits.perMinuteOfUser, limits.pendingBytes],
      ),
    );
    if (refused !== null) return { refused };
    return {
      async giveBack() {
        await run((redis) => redis.decrby(index.bytes, bytes));
        if (limits.perMinuteOfUser > 0) await run((redis) => redis.decrby(sent, fresh.size));
      },
    };
  }

  async function unknown(sessionId: string, messageIds: readonly string[]): Promise<readonly string[]> {
    const known = await Promise.all(
      messageIds.map((id) => run<number>((redis) => redis.exists(messagePrefix(sessionId) + id))),
    );
    return messageIds.filter((_, i) => known[i] === 0);
  }

  function readPending(sessionId: string, from: string, limit: number) {
    return run<[string[], string, string[], string[]] | null>((redis) =>
      redis.afterwordPending(...keysOf(sessionId), messagePrefix(sessionId), from, limit),
    );
  }
}

type Refused = Exclude<Refusal, object> | readonly ['limited', 'session' | 'user', number];

function toRefusal(refused: Refused): Refusal {
  return typeof refused === 'string' ? refused : { whose: refused[1], limitedForMs: Math.max(0, refused[2]) };
}

function fieldsOf(s: SessionHead & Omit<Session, 'questions'>): (string | number)[] {
  return [
    ...['user', s.userId, 'bot_type', s.botType, 'bot_id', s.botId, 'bot_name', s.botName],
    ...(s.topicId === null ? [] : ['topic', s.topicId]),
    ...['started', s.startedAt.getTime(), 'active', s.activeAt.getTime(), 'state', s.state],
    ...['last', s.lastPosition, 'messages', s.messages, 'bytes', s.bytes],
  ];
}

function asRecord(fields: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) record[fields[i] as string] = fields[i + 1] as string;
  return record;
}

function toSession(sessionId: string, fields: readonly string[], questions: string): Session {
  const f = asRecord(fields);
  return {
    sessionId,
    userId: f['user'] ?? '',
    botType: f['bot_type'] ?? '',
    botId: f['bot_id'] ?? '',
    botName: f['bot_name'] ?? '',
    topicId: f['topic'] ?? null,
    startedAt: new Date(Number(f['started'])),
    activeAt: new Date(Number(f['active'])),
    state: f['state'] as SessionState,
    messages: Number(f['messages']),
    questions: Number(questions),
    lastPosition: Number(f['last']),
    bytes: Number(f['bytes']),
  };
}

const lines = /^(\d+)\n\d+\n(user|bot)\n(-?\d+)\n(.*)$/s;

function toMessage(messageId: string, value: string): Message | null {
  const [, position, role, sent, text] = lines.exec(value) ?? [];
  if (text === undefined) return null;
  return { messageId, position: Number(position), role: role as Role, sentAt: new Date(Number(sent)), text };
}

function toHistory(line: string): Message {
  const end = line.indexOf('\n');
  return toMessage(line.slice(0, end), line.slice(end + 1)) as Message;
}

function toMessages(ids: readonly string[], values: readonly string[]) {
  const messages: Message[] = [];
  const lostIds: string[] = [];
  ids.forEach((id, i) => {
    const message = toMessage(id, values[i] ?? '');
    if (message === null) lostIds.push(id);
    else messages.push(message);
  });
  return { messages, lostIds };
}
