/** What keys and limits cost, and what batches gain: conversations accepted per second, with no worker running. */
import { setTimeout as delay } from 'node:timers/promises';
import { openBatch } from '../../test/support/batch.ts';
import { bearer, createKey } from '../../test/support/keys.ts';
import { type Member, startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { nextBody } from '../lib/bodies.ts';
import { cpuSeconds } from '../lib/cpu.ts';
import { load } from '../lib/load.ts';
import { pssMiB } from '../lib/memory.ts';
import type { Urls } from '../lib/peer-space.ts';
import { startRedis } from '../lib/redis.ts';
import type { Subject } from '../lib/rounds.ts';

const plenty = '100000000';
const limits = { KEY_REQUESTS_PER_MINUTE: plenty, USER_EVENTS_PER_MINUTE: plenty };
/** Of batches. More gain nothing: they share the same commits. */
const connections = 4;
const million = 1_000_000;

/**
 * One API of each kind, started once and loaded in turn: starting and warming one anew in each round makes a noise that
 * is wider than what keys and limits cost.
 */
export async function openAccess(
  urls: Urls,
  seconds: number,
): Promise<AsyncDisposable & { readonly subjects: readonly Subject[] }> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis('everysec'));
  const kinds = [
    { name: 'open', hasKey: false, env: {} },
    { name: 'with a key', hasKey: true, env: {} },
    { name: 'with a key and limits', hasKey: true, env: limits },
    {
      name: 'with a key and limits in Redis',
      hasKey: true,
      env: { ...limits, REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    },
  ];
  const subjects: Subject[] = [];
  for (const { name, hasKey, env } of kinds) {
    const { api, headers } = stack.use(await openApi(urls, env, hasKey));
    await load(api.url, 4, { headers });
    subjects.push({ name, round: () => measured(api, headers, seconds) });
  }
  subjects.push(besideOpen(urls, seconds));
  const { api } = stack.use(await openApi(urls, {}, false));
  subjects.push({ name: 'batches', round: () => batchRate(api, seconds) });
  const moved = stack.move();
  return { subjects, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/**
 * An API that is open and one with a key and limits, both new, under load at the same time: whatever else the machine
 * does meets both. Between rounds, rates differ by a tenth and more.
 */
function besideOpen(urls: Urls, seconds: number): Subject {
  return {
    name: 'a key and limits, beside an open API',
    async round() {
      await using open = await openApi(urls, {}, false);
      await using limited = await openApi(urls, limits, true);
      const both = (work: (api: Opened) => ReturnType<typeof measured>) => Promise.all([open, limited].map(work));
      await both(({ api, headers }) => measured(api, headers, 4, 50));
      const [without, withThem] = await both(({ api, headers }) => measured(api, headers, seconds, 50));
      const ratio = (of: string) => (withThem?.[of] ?? 0) / (without?.[of] ?? 0);
      return {
        'of its rate': ratio('/s'),
        'of its p50': ratio('p50 ms'),
        'of its CPU per conversation': ratio('µs of CPU'),
      };
    },
  };
}

async function measured(
  api: Member,
  headers: Readonly<Record<string, string>>,
  seconds: number,
  connections = 100,
): Promise<Record<string, number>> {
  const before = cpuSeconds(api.pid);
  const result = await load(api.url, seconds, { headers, connections });
  return { ...result, 'µs of CPU': ((cpuSeconds(api.pid) - before) / (result['/s'] * seconds)) * 1e6 };
}

/** One batch of a million lines: memory must not grow with it. */
export function millionLines(urls: Urls): Subject {
  return {
    name: 'a million lines',
    async round() {
      await using opened = await openApi(urls, {}, false);
      const { api } = opened;
      const batch = openBatch(api.url);
      let answered = 0;
      const reading = (async () => {
        for (let answer = await batch.next(); answer !== null; answer = await batch.next()) {
          if (answer.status !== 202) throw new Error(`line ${answer.line}: ${answer.status}`);
          answered++;
        }
      })();
      const peaks = { early: 0, late: 0 };
      const timer = setInterval(async () => {
        const part = answered < million / 10 ? 'early' : 'late';
        const mib = await pssMiB(api.pid);
        peaks[part] = Math.max(peaks[part], mib);
      }, 250);
      const began = performance.now();
      for (let i = 0; i < million; i++) await batch.send(smallBody(i));
      batch.request.end();
      await reading;
      clearInterval(timer);
      if (answered !== million) throw new Error(`${answered} answers`);
      const perSecond = million / ((performance.now() - began) / 1_000);
      return { '/s': perSecond, 'MiB to 100k': peaks.early, 'MiB to 1M': peaks.late };
    },
  };
}

type Opened = AsyncDisposable & { readonly api: Member; readonly headers: Readonly<Record<string, string>> };

async function openApi(urls: Urls, env: Record<string, string>, hasKey: boolean): Promise<Opened> {
  const space = await createNamespace(urls, { LOG_LEVEL: 'warn', RELAY_INTERVAL_MS: '1000', ...env });
  const headers = hasKey ? bearer(await createKey(space.env, 'bench')) : {};
  const api = await startMember('api', space.env);
  return {
    api,
    headers,
    async [Symbol.asyncDispose]() {
      await api.stop();
      await space.dispose();
    },
  };
}

async function batchRate(api: Member, seconds: number): Promise<Record<string, number>> {
  let answered = 0;
  let isOver = false;
  const streams = Array.from({ length: connections }, async () => {
    const batch = openBatch(api.url);
    const reading = (async () => {
      for (let answer = await batch.next(); answer !== null; answer = await batch.next()) {
        if (answer.status !== 202) throw new Error(`line ${answer.line}: ${answer.status}`);
        answered++;
      }
    })();
    while (!isOver) await batch.send(nextBody());
    batch.request.end();
    await reading;
  });
  await delay(2_000);
  const [before, began] = [answered, performance.now()];
  await delay(seconds * 1_000);
  const rate = (answered - before) / ((performance.now() - began) / 1_000);
  isOver = true;
  await Promise.all(streams);
  return { '/s': rate };
}

function smallBody(i: number): string {
  return (
    `{"conversation_id":"million_${i}","user_id":"user_${i % 1_000}","bot_type":"TALK","bot_id":"b_1","bot_name":"B",` +
    '"start_time":"2026-01-31T20:00:00Z","end_time":"2026-01-31T20:15:00Z",' +
    '"conversation_log":[{"speaker":"user","text":"Hello!"}]}'
  );
}
