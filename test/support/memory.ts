import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/**
 * Most memory that a process has had resident since the last call (or now, where the system does not keep that), MiB.
 */
export async function peakMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  if (peak !== undefined) {
    // 5: the peak begins again at what is resident now (proc(5)).
    await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => {});
    return Number(peak) / 1_024;
  }
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout) / 1_024;
}
