import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A process's peak resident memory since the last call (or the current one, where the system keeps no peak), MiB. */
export async function peakMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  if (peak !== undefined) {
    // 5: resets the peak to what is resident now (proc(5)).
    await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => {});
    return Number(peak) / 1_024;
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout) / 1_024;
}
