/**
 * CPU per event: by process, and by stage from profiles of the API, a worker's main thread and its scoring threads.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Contender, Session } from '../contenders/contender.ts';
import { cpuOfEach } from '../lib/cpu.ts';
import { load } from '../lib/load.ts';
import { monotonicUs, readProfile, top, type Window } from '../lib/profile.ts';
import type { Row } from '../lib/rounds.ts';
import { figure } from '../lib/stats.ts';
import { backlog } from './drain.ts';

/** Time for code to be compiled. */
const warmSeconds = 2;

export async function cpuByProcess(ours: Contender, seconds: number): Promise<Row[]> {
  await using session = await ours.open();
  const api = await session.startApi();
  await load(api.url, warmSeconds);
  const accept = await cpuOfEach([api.pid], async () => Math.round((await load(api.url, seconds))['/s'] * seconds));
  await api.stop();
  await backlog(session, 40_000);
  const [worker] = await session.startWorkers({ workers: 1, concurrency: 50 });
  await delay(warmSeconds * 1_000);
  const settle = await cpuOfEach([worker?.pid ?? 0], () => settledWithin(session, seconds));
  await worker?.stop();
  return [
    ...Object.entries(accept).map(([unit, us]) => row('an accept', unit === 'ours' ? 'API' : unit, us)),
    ...Object.entries(settle).map(([unit, us]) =>
      row('a settled event (1 x 50)', unit === 'ours' ? 'worker' : unit, us),
    ),
  ];
}

export async function cpuByStage(ours: Contender, seconds: number): Promise<Row[]> {
  const api = await profiled(async (NODE_OPTIONS, window) => {
    await using session = await ours.open({ NODE_OPTIONS });
    const process = await session.startApi();
    await load(process.url, warmSeconds);
    const events = await window(async () => (await load(process.url, seconds))['/s'] * seconds);
    await process.stop();
    return events;
  });
  const worker = await profiled(async (NODE_OPTIONS, window) => {
    await using session = await ours.open();
    await backlog(session, 40_000);
    const [process] = await session.startWorkers({ workers: 1, concurrency: 50, env: { NODE_OPTIONS } });
    await delay(warmSeconds * 1_000);
    const events = await window(() => settledWithin(session, seconds));
    await process?.stop();
    return events;
  });
  return [
    ...stageRows('API', api.main, api.events),
    ...stageRows('worker, main thread', worker.main, worker.events),
    ...stageRows('worker, scoring threads', worker.threads, worker.events),
  ];
}

type Profiled = { readonly events: number; readonly main: Map<string, number>; readonly threads: Map<string, number> };

/** Runs `work` under the profiler; `work` returns how many events it counted in its window. */
async function profiled(
  work: (nodeOptions: string, window: (counted: () => Promise<number>) => Promise<number>) => Promise<number>,
): Promise<Profiled> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-profile-'));
  let window: Window = { from: 0, to: 0 };
  const events = await work(`--cpu-prof --cpu-prof-dir=${folder}`, async (counted) => {
    const from = monotonicUs();
    const count = await counted();
    window = { from, to: monotonicUs() };
    return count;
  });
  const main = new Map<string, number>();
  const threads = new Map<string, number>();
  for (const file of await readdir(folder)) {
    // CPU.<date>.<time>.<pid>.<thread>.<n>.cpuprofile; thread 0 is the main one.
    const into = file.split('.')[4] === '0' ? main : threads;
    for (const [stage, us] of (await readProfile(join(folder, file), window)).byStage)
      into.set(stage, (into.get(stage) ?? 0) + us);
  }
  await rm(folder, { recursive: true, force: true });
  return { events, main, threads };
}

async function settledWithin(session: Session, seconds: number): Promise<number> {
  const from = await session.processed();
  await delay(seconds * 1_000);
  return (await session.processed()) - from;
}

function stageRows(subject: string, spentUs: ReadonlyMap<string, number>, events: number): Row[] {
  return top(spentUs, 12).map(([stage, us]) => row(subject, stage, us / events, 'stages'));
}

function row(subject: string, what: string, us: number, measure = 'CPU'): Row {
  return { measure, subject, unit: `µs ${what}`, figure: figure([us]) };
}
