/** What keys and limits cost, and what batches gain: conversations accepted per second, with no worker running. */
import { setTimeout as delay } from 'node:timers/promises';
import { openBatch } from '../../test/support/batch.ts';
import { bearer, createKey } from '../../test/support/keys.ts';
import { type Member, startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { nextBody } from '../lib/bodies.ts';
import { warmLoad } from '../lib/load.ts';
import { pssMiB } from '../lib/memory.ts';
import type { Urls } from '../lib/peer-space.ts';
import { startRedis } from '../lib/redis.ts';
import type { Subject } from '../lib/rounds.ts';

const plenty = '100000000';
/** Of batches. More gain nothing: they share the same commits. */
const connections = 4;
const million = 1_000_000;

export function accessSubjects(urls: Urls, seconds: number): Subject[] {
  const withKey = (name: string, env: Record<string, string> = {}): Subject => ({
    name,
    round: () => withApi(urls, env, true, (api, headers) => warmLoad(api.url, seconds, headers)),
  });
  return [
    { name: 'open', round: () => withApi(urls, {}, false, (api) => warmLoad(api.url, seconds)) },
    withKey('with a key'),
    withKey('with a key and limits', { KEY_REQUESTS_PER_MINUTE: plenty, USER_EVENTS_PER_MINUTE: plenty }),
    {
      name: 'with a key and limits in Redis',
      async round() {
        await using redis = await startRedis('everysec');
        const env = { KEY_REQUESTS_PER_MINUTE: plenty, USER_EVENTS_PER_MINUTE: plenty };
        const { round } = withKey('', { ...env, REDIS_URL: `redis://127.0.0.1:${redis.port}` });
        return round();
      },
    },
    { name: 'batches', round: () => withApi(urls, {}, false, (api) => batchRate(api, seconds)) },
  ];
}

/** One batch of a million lines: memory must not grow with it. */
export function millionLines(urls: Urls): Subject {
  return {
    name: 'a million lines',
    round: () =>
      withApi(urls, {}, false, async (api) => {
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
      }),
  };
}

async function withApi<T>(
  urls: Urls,
  env: Record<string, string>,
  hasKey: boolean,
  work: (api: Member, headers: Record<string, string>) => Promise<T>,
): Promise<T> {
  const space = await createNamespace(urls, { LOG_LEVEL: 'warn', RELAY_INTERVAL_MS: '1000', ...env });
  const headers = hasKey ? bearer(await createKey(space.env, 'bench')) : {};
  const api = await startMember('api', space.env);
  const result = await work(api, headers);
  await api.stop();
  await space.dispose();
  return result;
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
