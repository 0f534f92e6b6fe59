import { setTimeout as delay } from 'node:timers/promises';
import { vi } from 'vitest';
import { type Answer, call, rows } from './client.ts';
import type { Fleet } from './fleet.ts';

type Said = { readonly messageId: string; readonly role: 'user' | 'bot'; readonly text: string };
type Conversation = { readonly sessionId: string; readonly said: Said[]; ended: string | null };

/** Longer than any fault lasts, and shorter than a test may take: it then fails with what it was answered. */
const patienceMs = 100_000;

/** People who talk, message by message, and repeat each until it is answered, as the contract asks. */
export type Talk = {
  readonly conversations: readonly Conversation[];
  /** Messages that were acknowledged. */
  readonly answered: number;
  readonly repeats: number;
  /** Answers that no client should get. Must stay empty. */
  readonly strange: readonly { path: string; status: number; code: unknown }[];
  more(n: number): Promise<void>;
  /** Everybody ends what they were saying. */
  stop(): Promise<void>;
};

/**
 * @param options.people  conversations at the same time; each has one after the other.
 * @param options.length  messages of a conversation; it then ends by its session.
 */
export function startTalk(options: {
  readonly url: string;
  /** Prefix of all ids: one per run. */
  readonly stream: string;
  readonly people: number;
  readonly length: number;
  readonly pauseMs: number;
}): Talk {
  const { stream } = options;
  const conversations: Conversation[] = [];
  const strange: { path: string; status: number; code: unknown }[] = [];
  let answered = 0;
  let repeats = 0;
  let stopped = false;

  async function insist(path: string, body: object, good: readonly number[]): Promise<Answer> {
    const began = performance.now();
    for (let waitMs = 30; ; waitMs = Math.min(500, waitMs * 2)) {
      const answer = await call(options.url, 'POST', path, body, {}, { timeoutMs: 8_000 }).catch(() => null);
      if (answer !== null && good.includes(answer.status)) return answer;
      if (answer !== null && answer.status !== 503)
        strange.push({ path, status: answer.status, code: answer.body?.code });
      if (answer !== null && answer.status >= 400 && answer.status < 500) return answer;
      repeats++;
      if (performance.now() - began > patienceMs)
        throw new Error(`${path} is still answered with ${answer?.status} ${answer?.body?.code}`);
      await delay(waitMs * (0.5 + Math.random()));
    }
  }

  async function converse(person: number, n: number): Promise<void> {
    const sessionId = `${stream}_${person}_${n}`;
    const conversation: Conversation = { sessionId, said: [], ended: null };
    conversations.push(conversation);
    const head = {
      session_id: sessionId,
      user_id: `${stream}_user_${person}`,
      bot_type: 'TALK',
      bot_id: 'b',
      bot_name: 'B',
    };
    await insist('/v1/sessions', head, [200, 201]);
    for (let i = 0; i < options.length && !stopped; i++) {
      const role = i % 3 === 0 ? ('bot' as const) : ('user' as const);
      const one = { messageId: `${i}.of.${sessionId}`, role, text: `${i} of ${sessionId}` };
      await insist(`/v1/sessions/${sessionId}/messages`, { message_id: one.messageId, role, text: one.text }, [202]);
      conversation.said.push(one);
      answered++;
      await delay(options.pauseMs * Math.random());
    }
    const { body } = await insist(`/v1/sessions/${sessionId}/end`, {}, [202]);
    conversation.ended = String(body.event_id);
  }

  const everybody = Promise.all(
    Array.from({ length: options.people }, async (_, person) => {
      for (let n = 0; !stopped; n++) await converse(person, n);
    }),
  );

  return {
    conversations,
    strange,
    get answered() {
      return answered;
    },
    get repeats() {
      return repeats;
    },
    async more(n) {
      const target = answered + n;
      await vi.waitUntil(() => answered >= target, { timeout: 120_000, interval: 20 });
    },
    async stop() {
      stopped = true;
      await everybody;
    },
  };
}

/** What became of everything that was said. If the promises hold, the lists are empty. */
export async function proveTalk(fleet: Fleet, { conversations }: Talk) {
  const { database } = fleet.space;
  type Row = { session_id: string; message_id: string; position: number; role: string; text: string };
  const ids = conversations.map((c) => c.sessionId);
  const written = Map.groupBy(
    await rows<Row>(
      database,
      `SELECT session_id, message_id, position, role, text FROM chat_messages
       WHERE session_id IN (?) ORDER BY position`,
      [ids],
    ),
    (row) => row.session_id,
  );
  const sessions = new Map(
    (
      await rows<{ session_id: string; question_count: number; message_count: number; event_id: string }>(
        database,
        'SELECT session_id, question_count, message_count, event_id FROM chat_sessions WHERE session_id IN (?)',
        [ids],
      )
    ).map((row) => [row.session_id, row]),
  );
  const events = Map.groupBy(
    await rows<{ event_id: string; conversation_id: string; log: string }>(
      database,
      `SELECT e.event_id, e.conversation_id, l.conversation_log AS log FROM conversation_events e
       JOIN conversation_logs l ON l.event_id = e.event_id WHERE e.conversation_id IN (?)`,
      [ids],
    ),
    (row) => row.conversation_id,
  );
  const proof = {
    said: 0,
    /** Answered for, and not in the database. */
    lost: [] as string[],
    /** In the database twice, or never said. */
    double: [] as string[],
    /** Said in another order. */
    disordered: [] as string[],
    miscounted: [] as string[],
    /** Without exactly one event with exactly what was said. */
    wrongEvents: [] as string[],
  };
  for (const { sessionId, said, ended } of conversations) {
    const there = written.get(sessionId) ?? [];
    const texts = there.map((row) => row.text);
    const expected = said.map((one) => one.text);
    proof.said += said.length;
    for (const one of said) if (!texts.includes(one.text)) proof.lost.push(one.messageId);
    if (new Set(texts).size !== texts.length || texts.some((text) => !expected.includes(text)))
      proof.double.push(sessionId);
    if (
      texts.filter((text) => expected.includes(text)).join() !== expected.filter((text) => texts.includes(text)).join()
    )
      proof.disordered.push(sessionId);
    const session = sessions.get(sessionId);
    const users = there.filter((row) => row.role === 'user').length;
    if (session?.question_count !== users || session.message_count !== there.length) proof.miscounted.push(sessionId);
    const [event, second] = events.get(sessionId) ?? [];
    const log = (typeof event?.log === 'string' ? JSON.parse(event.log) : (event?.log ?? [])) as { text: string }[];
    if (event === undefined || second !== undefined || event.event_id !== ended || session?.event_id !== ended)
      proof.wrongEvents.push(sessionId);
    else if (log.map((turn) => turn.text).join() !== texts.join()) proof.wrongEvents.push(`${sessionId} (log)`);
  }
  return proof;
}
