import { readFileSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';

/**
 * Two runs in one folder would share a data directory, so the second fails and names the first. The file holds the
 * owner's process id and when that process started.
 * @throws {Error} if another process that is still running holds the lock.
 */
export async function takeLock(lock: string): Promise<void> {
  const mine = `${process.pid} ${startOf(process.pid)}`;
  for (let tries = 0; tries < 2; tries++) {
    try {
      await using file = await open(lock, 'wx');
      await file.writeFile(mine);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
      const [owner = '', since = ''] = (await readFile(lock, 'utf8')).split(' ');
      if (isRunning(Number(owner), since)) {
        throw new Error(
          `another scripts/up or scripts/demo (process ${owner}) is running in this folder and owns .afterword/.\n` +
            `Stop it with Ctrl-C (or kill ${owner}), or use a second checkout: their ports do not clash.`,
        );
      }
      await rm(lock, { force: true });
    }
  }
  await writeFile(lock, mine);
}

/** Whether the same process is still running: process ids are reused, especially in containers. */
function isRunning(pid: number, since: string): boolean {
  if (!(pid > 0) || since !== startOf(pid)) return false;
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM'; // it belongs to another user
  }
}

/** When a process started, in ticks since boot (field 22 of `/proc/PID/stat`); '' if that cannot be read. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
