import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

type CpuTimes = { readonly idle: number; readonly all: number };

/** CPU time of all cores together since some fixed moment, milliseconds. */
export function cpuTimes(): CpuTimes {
  const times = cpus().map((cpu) => cpu.times);
  const idle = times.reduce((sum, t) => sum + t.idle, 0);
  return { idle, all: idle + times.reduce((sum, t) => sum + t.user + t.sys + t.nice + t.irq, 0) };
}

/** Share of the machine's CPU that was in use between two samples, 0 to 1. */
export function busyShare(from: CpuTimes, to: CpuTimes): number {
  return 1 - (to.idle - from.idle) / Math.max(1, to.all - from.all);
}

/** Share of the machine's CPU that is in use during the next `ms` milliseconds, 0 to 1. */
export async function busyShareFor(ms: number): Promise<number> {
  const from = cpuTimes();
  await delay(ms);
  return busyShare(from, cpuTimes());
}

/**
 * Memory of a process in MiB: the proportional set size on Linux (a page shared with other processes counts once in
 * total), else the resident set size; null if neither is available.
 */
export async function memoryMiB(pid: number): Promise<number | null> {
  const pss = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').then(
    (text) => /^Pss:\s+(\d+) kB/m.exec(text)?.[1],
    () => undefined,
  );
  if (pss !== undefined) return Number(pss) / 1_024;
  const rss = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).then(
    ({ stdout }) => Number(stdout),
    () => Number.NaN,
  );
  return Number.isFinite(rss) && rss > 0 ? rss / 1_024 : null;
}
