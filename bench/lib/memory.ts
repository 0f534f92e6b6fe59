import { readFile } from 'node:fs/promises';

/** Proportional set size of a process, MiB: in a sum over processes, shared pages count once (Linux). */
export async function pssMiB(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]) / 1_024;
}
