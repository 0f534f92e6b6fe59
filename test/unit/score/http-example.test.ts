import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import { type ScorePool, startScorePool } from '../../../src/score/index.ts';

/** docs/examples/http-scorer.ts, against services that behave and services that do not. */

let server: Server;
let pool: ScorePool;
afterEach(async () => {
  await pool.close();
  server.closeAllConnections();
  server.close();
  vi.unstubAllEnvs();
});

async function startWith(listener: RequestListener): Promise<void> {
  server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  vi.stubEnv('SCORE_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}/score`);
  pool = await startScorePool({
    threads: 1,
    threadMaxTasks: 0,
    threadMemoryMb: 64,
    timeoutMs: 500,
    weights: { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5, pronunciation: 0 },
    scorerModule: fileURLToPath(new URL('../../../docs/examples/http-scorer.ts', import.meta.url)),
    stop: new AbortController().signal,
    log: pino({ level: 'silent' }),
  });
}

const text = [
  Buffer.from(
    JSON.stringify({
      conversation_id: 'c1',
      bot_type: 'TALK',
      start_time: '2026-01-31T20:00:00.000Z',
      conversation_log: [],
    }),
  ),
];
const outcome = () => pool.score(text);

test('the points in the answer are the score', async () => {
  await startWith(async (request, response) => {
    const sent = JSON.parse((await request.toArray()).join(''));
    response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ points: sent.conversation_id === 'c1' ? 7 : 0 }));
  });
  expect(await outcome()).toMatchObject({ kind: 'scored', change: 7 });
});

test('all calls are in flight at once', async () => {
  const waiting: (() => void)[] = [];
  await startWith((request, response) => {
    request.resume();
    waiting.push(() => response.end('{"points":1}'));
    if (waiting.length === 60) for (const answer of waiting) answer();
  });
  const outcomes = await Promise.all(Array.from({ length: 60 }, outcome));
  expect(outcomes.map(({ kind }) => kind)).toEqual(Array(60).fill('scored'));
});

test('a service that never answers costs the attempt, and its call is aborted', async () => {
  let closed = false;
  await startWith((request, response) => {
    request.resume();
    response.on('close', () => {
      closed = true;
    });
  });
  expect(await outcome()).toMatchObject({ kind: 'failed', permanent: false, code: 'SCORING_TIMEOUT' });
  await vi.waitFor(() => expect(closed).toBe(true));
});

test.each([
  [422, true],
  [429, false],
  [503, false],
])('a %i answer fails the attempt, permanently: %s', async (status, permanent) => {
  await startWith((request, response) => {
    request.resume();
    response.writeHead(status).end();
  });
  expect(await outcome()).toMatchObject({ kind: 'failed', permanent, code: 'SCORER_FAILED' });
});
