/** A worker whose conversations are all read by a model that takes twenty seconds. */

import { setTimeout as delay } from 'node:timers/promises';
import { startChatServer } from '../../test/support/chat-server.ts';
import { conversation, postAll, rows } from '../../test/support/client.ts';
import { startMember } from '../../test/support/member.ts';
import { createNamespace } from '../../test/support/namespace.ts';
import { cpuSeconds } from '../lib/cpu.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Subject } from '../lib/rounds.ts';

const callMs = 20_000;
const concurrency = 200;
const calls = 2 * concurrency;

export function analyserSubjects(urls: Urls): Subject[] {
  return [{ name: `1 x ${concurrency}, ${callMs / 1_000} s per call`, round: () => slowModel(urls) }];
}

async function slowModel(urls: Urls): Promise<Record<string, number>> {
  await using chat = await startChatServer({ delayMs: callMs });
  const space = await createNamespace(urls, {
    LOG_LEVEL: 'warn',
    ANALYSER_MODULE: 'openai',
    ANALYSER_URL: chat.url,
    ANALYSER_MODEL: 'small',
    ANALYSER_CONNECTIONS: String(concurrency),
    MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
  });
  const api = await startMember('api', space.env);
  await postAll(
    api.url,
    Array.from({ length: calls }, () => conversation()),
  );
  const worker = await startMember('worker', space.env);
  const began = performance.now();
  const cpu = cpuSeconds(worker.pid);
  const open = "SELECT COUNT(*) AS n FROM conversation_events WHERE status <> 'PROCESSED'";
  while (((await rows<{ n: number }>(space.database, open))[0]?.n ?? 0) > 0) await delay(200);
  const seconds = (performance.now() - began) / 1_000;
  const busy = cpuSeconds(worker.pid) - cpu;
  await Promise.all([api.stop(), worker.stop()]);
  await space.dispose();
  return {
    '/s': calls / seconds,
    'of the ideal rate': calls / seconds / (concurrency / (callMs / 1_000)),
    'calls at once': chat.mostAtOnce,
    'CPU, share of a core': busy / seconds,
  };
}
