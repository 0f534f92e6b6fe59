/**
 * The classic run: 500 requests from 100 users, four workers with ten deliveries each and the friendship scorer; and
 * the map of W x C.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openBroker } from '../../test/support/broker.ts';
import { post } from '../../test/support/client.ts';
import type { Member } from '../../test/support/member.ts';
import type { Contender } from '../contenders/contender.ts';
import { nextBody } from '../lib/bodies.ts';
import { cpuSeconds } from '../lib/cpu.ts';
import { fill } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import { percentile } from '../lib/stats.ts';
import { drainRate } from './drain.ts';

export type Classic = {
  readonly values: Readonly<Record<string, number>>;
  /** Milliseconds since the first request, and what waited then: in the queue, and accepted but not processed. */
  readonly queue: readonly { readonly ms: number; readonly queued: number; readonly open: number }[];
};

const requests = 500;
const users = 100;

export async function classicRun(ours: Contender, urls: Urls): Promise<Classic> {
  await using session = await ours.open({ SCORER_MODULE: '', LOG_LEVEL: 'debug' });
  const [api, workers] = await Promise.all([session.startApi(), session.startWorkers({ workers: 4, concurrency: 10 })]);
  const broker = await openBroker(urls.rabbitmq);
  // Warms up the fleet: a process spends its first second compiling its code.
  await fill(api.url, 2 * requests);
  while ((await session.open()) > 0) await delay(50);
  const already = await session.processed();
  const answers: number[] = [];
  const queue: { ms: number; queued: number; open: number }[] = [];
  const printed = (workers as unknown as Member[]).map((w) => w.lines.length);
  const cpuBefore = workers.reduce((sum, w) => sum + cpuSeconds(w.pid), 0);
  const began = performance.now();
  let left = requests;
  const sending = Promise.all(
    Array.from({ length: users }, async () => {
      while (left-- > 0) {
        const sent = performance.now();
        const { status } = await post(api.url, nextBody(users));
        if (status !== 202) throw new Error(`refused with ${status}`);
        answers.push(performance.now() - sent);
      }
    }),
  );
  let processed = 0;
  while (processed < requests) {
    await delay(25);
    const queued = await broker.depth(session.queue);
    processed = (await session.processed()) - already;
    queue.push({ ms: Math.round(performance.now() - began), queued, open: answers.length - processed });
  }
  await sending;
  const tookMs = performance.now() - began;
  const cpu = workers.reduce((sum, w) => sum + cpuSeconds(w.pid), 0) - cpuBefore;
  await broker.close();
  await Promise.all([api, ...workers].map((p) => p.stop()));
  // Received to processed, as each worker logs it.
  const latencies = (workers as unknown as Member[])
    .flatMap((w, i) => w.lines.slice(printed[i]))
    .flatMap((line) => /"took_ms":(\d+)/.exec(line)?.[1] ?? []);
  return {
    values: {
      '202 p50 ms': percentile(answers, 0.5),
      '202 p95 ms': percentile(answers, 0.95),
      '202 p99 ms': percentile(answers, 0.99),
      'all processed after ms': tookMs,
      'worker p50 ms': percentile(latencies.map(Number), 0.5),
      'worker p99 ms': percentile(latencies.map(Number), 0.99),
      'cores the workers used': cpu / (tookMs / 1_000),
      'longest queue': Math.max(...queue.map((q) => q.queued)),
    },
    queue,
  };
}

export type HeatMap = {
  readonly workers: readonly number[];
  readonly concurrency: readonly number[];
  /** [W][C], events per second. */
  readonly rates: readonly (readonly number[])[];
};

const backlogFor: Readonly<Record<number, number>> = {
  1: 4_000,
  2: 7_000,
  5: 12_000,
  10: 16_000,
  20: 20_000,
  50: 26_000,
};

export async function heatMap(ours: Contender, say: (line: string) => void): Promise<HeatMap> {
  const workers = [1, 2, 4, 8];
  const concurrency = Object.keys(backlogFor).map(Number);
  const rates: number[][] = [];
  for (const w of workers) {
    const row: number[] = [];
    for (const c of concurrency) {
      row.push(await drainRate(ours, { workers: w, concurrency: c }, { events: backlogFor[c] ?? 0, seconds: 3 }));
      say(`heat map: ${w} x ${c}: ${Math.round(row.at(-1) ?? 0)}/s`);
    }
    rates.push(row);
  }
  return { workers, concurrency, rates };
}
