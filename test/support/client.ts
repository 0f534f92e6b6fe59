import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { Agent, request } from 'undici';
import { expect } from 'vitest';
import { wrongWith } from './contract.ts';

const agent = new Agent({ connections: 100, headersTimeout: 60_000 });

export type Answer = {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: any;
};

/** Sends a JSON request to an API. Every answer is held against the document. */
export async function call(...[base, method, path, ...more]: Parameters<typeof callAny>): Promise<Answer> {
  const given = await callAny(base, method, path, ...more);
  const wrong = wrongWith(method, path, given);
  expect(wrong, `${method} ${path} is not answered as the document of the API says`).toEqual([]);
  return given;
}

/** The same to any server; the answer's body is parsed if it is JSON. */
export async function callAny(
  base: string,
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  { timeoutMs = 60_000 } = {},
): Promise<Answer> {
  const answer = await request(new URL(path, base), {
    method,
    dispatcher: agent,
    headersTimeout: timeoutMs,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? null : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
  const text = await answer.body.text();
  const parsed = text.startsWith('{') ? JSON.parse(text) : text;
  return { status: answer.statusCode, headers: answer.headers, body: parsed };
}

export const post = (base: string, body: unknown, headers?: Record<string, string>, options?: { timeoutMs?: number }) =>
  call(base, 'POST', '/v1/conversations/end', body, headers, options);

/** A small valid body under a new id. */
export function conversation(overrides: Record<string, unknown> = {}) {
  return {
    conversation_id: `conv_${randomUUID()}`,
    user_id: 'user_1',
    bot_type: 'TALK',
    bot_id: 'talk_a',
    bot_name: 'Pika',
    start_time: '2026-01-31T20:00:00Z',
    end_time: '2026-01-31T20:20:00Z',
    conversation_log: [
      { speaker: 'pika', text: 'Hello! How was your day?' },
      { speaker: 'user', text: 'It was fine' },
    ],
    ...overrides,
  };
}

/** The 400 sample bodies. */
export function samples(): Record<string, unknown>[] {
  const text = readFileSync(new URL('../../scripts/samples/conversations.ndjson', import.meta.url), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Posts all of them, `concurrency` at a time. @returns the answers in order of completion. */
export async function postAll(base: string, bodies: Iterable<unknown>, concurrency = 50): Promise<Answer[]> {
  const answers: Answer[] = [];
  const queue = bodies[Symbol.iterator]();
  const lane = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) answers.push(await post(base, next.value));
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return answers;
}

export async function rows<T>(database: Pool, sql: string, params: unknown[] = []): Promise<T[]> {
  const [found] = await database.query<RowDataPacket[]>(sql, params);
  return found as T[];
}

/** How many events are in each status. */
export async function statuses(database: Pool): Promise<Record<string, number>> {
  const found = await rows<{ status: string; n: number }>(
    database,
    'SELECT status, COUNT(*) AS n FROM conversation_events GROUP BY status',
  );
  return Object.fromEntries(found.map((row) => [row.status, row.n]));
}

/** Users whose friendship is not the exact sum of their processed events. Empty if all is well. */
export function wrongSums(database: Pool): Promise<{ user_id: string; held: number; expected: number }[]> {
  return rows(
    database,
    `SELECT e.user_id, f.friendship_score AS held, SUM(e.friendship_score_change) AS expected
     FROM conversation_events e LEFT JOIN friendship_status f ON f.user_id = e.user_id
     WHERE e.status = 'PROCESSED' GROUP BY e.user_id, f.friendship_score
     HAVING held IS NULL OR held <> expected`,
  );
}
