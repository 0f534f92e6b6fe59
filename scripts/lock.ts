import { readFileSync } from 'node:fs';
import { open, readFile, rm, writeFile } from 'node:fs/promises';

/**
 * Two in one folder would share one data directory: the second says who is there. The file holds the owner's process
 * number and when that process started.
 * @throws {Error} if another process that still runs has it.
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
          `another scripts/up or scripts/demo (process ${owner}) runs in this folder and owns .afterword/.\n` +
            `Stop it with Ctrl-C there (or kill ${owner}), or use a second checkout: ports never clash.`,
        );
      }
      await rm(lock, { force: true });
    }
  }
  await writeFile(lock, mine);
}

/** A process with this number, and the same one: numbers come again, in containers above all. */
function isRunning(pid: number, since: string): boolean {
  if (!(pid > 0) || since !== startOf(pid)) return false;
  try {
    process.kill(pid, 0);
    return pid !== process.pid;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM'; // another user's
  }
}

/** When a process started, in ticks since the machine did (field 22 of `/proc/PID/stat`); '' if that cannot be read. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
