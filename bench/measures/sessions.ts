/** Messages of live sessions per second at 100 connections, while they are written to the database. */

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { call } from '../../test/support/client.ts';
import { startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { peerSpace, type Urls } from '../lib/peer-space.ts';
import { startProcess } from '../lib/process.ts';
import { startRedis } from '../lib/redis.ts';
import type { Subject } from '../lib/rounds.ts';
import { talk } from '../lib/talk.ts';

const env = { LOG_LEVEL: 'warn', SESSION_MESSAGES_PER_MINUTE: '0', USER_MESSAGES_PER_MINUTE: '0', SYNC_INTERVAL: '1' };
/** As many as are measured, of which each session has twenty. */
const backlog = 1_000_000;
const perSession = 20;

export function sessionSubjects(urls: Urls, seconds: number): Subject[] {
  const ours = (name: string, more: Record<string, string> = {}): Subject => ({
    name,
    async round() {
      await using redis = await startRedis('everysec');
      const url = more['REDIS_URL'] ?? `redis://127.0.0.1:${redis.port}`;
      const space = await createNamespace(urls, { ...env, ...more, REDIS_URL: url });
      const api = await startMember('api', space.env);
      await talk(api.url, 2);
      const measured = await talk(api.url, seconds);
      await api.stop();
      await space.dispose();
      return measured;
    },
  });
  const peer = (name: string, file: string): Subject => ({
    name,
    async round() {
      await using redis = await startRedis('everysec');
      await using space = await peerSpace(urls);
      const process = await startProcess(file, [], { ...space.env, REDIS_URL: `redis://127.0.0.1:${redis.port}` });
      await talk(process.url, 2);
      const measured = await talk(process.url, seconds);
      await process.stop();
      return measured;
    },
  });
  return [
    peer('bare ioredis pipeline', 'peers/bare-redis.ts'),
    ours('afterword'),
    ours('afterword, with limits', { SESSION_MESSAGES_PER_MINUTE: '1000000', USER_MESSAGES_PER_MINUTE: '1000000' }),
    ours('straight to the database', { REDIS_URL: 'redis://127.0.0.1:1' }),
    peer('plain design', 'peers/plain-sessions.ts'),
    { name: 'a million pending', round: () => millionPending(urls) },
    { name: 'multi-row INSERT of messages', round: () => insertFloor(urls, seconds) },
  ];
}

/** What a million messages take in Redis, and how long it takes to write them. */
async function millionPending(urls: Urls): Promise<Record<string, number>> {
  await using server = await startRedis('everysec');
  const url = `redis://127.0.0.1:${server.port}`;
  const space = await createNamespace(urls, { ...env, REDIS_URL: url, SYNC_INTERVAL: '86400' });
  const api = await startMember('api', space.env);
  const redis = new Redis(url);
  const used = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  const before = await used();
  await fillSessions(api.url, backlog);
  const perMessage = ((await used()) - before) / backlog;
  const began = performance.now();
  let synced = 0;
  while (synced < backlog) {
    const { body } = await call(api.url, 'POST', '/v1/sessions/sync', undefined, {}, { timeoutMs: 600_000 });
    synced += Number(body.synced);
    if (body.synced === 0) await delay(100);
  }
  const took = (performance.now() - began) / 1_000;
  await redis.quit();
  await api.stop();
  await space.dispose();
  return { 'bytes per message': perMessage, 'synced /s': backlog / took };
}

async function fillSessions(url: string, messages: number): Promise<void> {
  let session = 0;
  const count = messages / perSession;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      for (let own = session++; own < count; own = session++) {
        const id = `session_${randomUUID()}`;
        await call(url, 'POST', '/v1/sessions', {
          ...{ session_id: id, user_id: `user_${own}`, bot_type: 'T', bot_id: 'b', bot_name: 'B' },
        });
        const list = Array.from({ length: perSession }, (_, i) => ({
          ...{ role: i % 2 === 0 ? 'user' : 'bot', text: `I played with my dog in the park. ${own} ${i}` },
        }));
        const { status } = await call(url, 'POST', `/v1/sessions/${id}/messages`, { messages: list });
        if (status !== 202) throw new Error(`refused with ${status}`);
      }
    }),
  );
}

/** Nothing but the rows: 1,000 a statement, two connections, into the same table. */
async function insertFloor(urls: Urls, seconds: number): Promise<Record<string, number>> {
  const space = await createNamespace(urls);
  const pool = mysql.createPool({ uri: space.env['DATABASE_URL'] ?? '', connectionLimit: 2 });
  const until = performance.now() + seconds * 1_000;
  let rows = 0;
  await Promise.all(
    [0, 1].map(async () => {
      while (performance.now() < until) {
        const values = Array.from({ length: 50 }, () => `session_${randomUUID()}`).flatMap((id) =>
          Array.from({ length: perSession }, (_, i) => [
            id,
            i + 1,
            randomUUID(),
            'user',
            new Date(),
            'I played with my dog.',
          ]),
        );
        await pool.query('INSERT INTO chat_messages (session_id, position, message_id, role, sent_at, text) VALUES ?', [
          values,
        ]);
        rows += values.length;
      }
    }),
  );
  await pool.end();
  await space.dispose();
  return { 'synced /s': rows / seconds };
}
