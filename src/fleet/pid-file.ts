import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

type Entry = { readonly pid: number; readonly startedAt: string };

/**
 * A folder that only this user can write to; null if somebody else has taken its name. Not in `XDG_RUNTIME_DIR`, which
 * a service and a login shell of the same user have in common only sometimes.
 */
function folder(): string | null {
  const { uid } = userInfo();
  const path = join(tmpdir(), `afterword-${uid}`);
  try {
    mkdirSync(path, { mode: 0o700, recursive: true });
    const found = lstatSync(path);
    return found.isDirectory() && (uid === -1 || (found.uid === uid && (found.mode & 0o022) === 0)) ? path : null;
  } catch {
    return null;
  }
}

function pathOf(port: number): string | null {
  const place = folder();
  return place && join(place, `fleet-${port}.json`);
}

/** When a process started, in the kernel's ticks: another one may have its number later. Null: there is none. */
function startOf(pid: number): string | null {
  try {
    // After the name, which may contain anything: field 22 of the line is the 20th after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

function entryIn(path: string): Entry | null {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Entry>;
    return typeof pid === 'number' && pid > 1 && typeof startedAt === 'string' ? { pid, startedAt } : null;
  } catch {
    return null;
  }
}

function livingIn(path: string): Entry | null {
  const entry = entryIn(path);
  return entry !== null && startOf(entry.pid) === entry.startedAt ? entry : null;
}

/**
 * Says for `afterword restart` which process the fleet on this port is. Best effort: a fleet works without it.
 * @returns what removes it.
 */
export function writePidFile(port: number): () => void {
  const path = pathOf(port);
  const startedAt = startOf(process.pid);
  // One that runs already keeps its place: this one will not get the port.
  if (path === null || startedAt === null || livingIn(path) !== null) return () => {};
  try {
    writeFileSync(path, JSON.stringify({ pid: process.pid, startedAt } satisfies Entry), { mode: 0o600 });
  } catch {
    return () => {};
  }
  return () => {
    if (entryIn(path)?.pid === process.pid) rmSync(path, { force: true });
  };
}

/** The process of this user's fleet on this port; null if none runs. */
export function findFleet(port: number): number | null {
  const path = pathOf(port);
  return path === null ? null : (livingIn(path)?.pid ?? null);
}
