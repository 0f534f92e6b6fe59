import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Where the fleet of this user on this port says who it is, for `afterword restart`. */
function pathOf(port: number): string {
  return join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), `afterword-fleet-${userInfo().uid}-${port}.pid`);
}

/** Best effort: a fleet works without it. @returns what removes it. */
export function writePidFile(port: number): () => void {
  const path = pathOf(port);
  try {
    // Exclusively, so that no link that others have put there is followed.
    rmSync(path, { force: true });
    writeFileSync(path, String(process.pid), { mode: 0o600, flag: 'wx' });
  } catch {
    return () => {};
  }
  return () => rmSync(path, { force: true });
}

/** The process of the fleet on this port; null if none runs. */
export function findFleet(port: number): number | null {
  try {
    const pid = Number(readFileSync(pathOf(port), 'utf8'));
    if (!Number.isInteger(pid) || pid <= 1) return null;
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}
