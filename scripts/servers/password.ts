import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The password of the servers whose data are in `folder`, made when it is first asked for. Safe in a URL.
 * @param hasData  there are data already: without their password nobody gets in.
 * @throws {Error} that says what to do.
 */
export async function passwordOf(folder: string, hasData: boolean): Promise<string> {
  const path = join(folder, 'password');
  const kept = await readFile(path, 'utf8').catch(() => null);
  if (kept !== null) return kept.trim();
  if (hasData) {
    throw new Error(
      `the servers' data in ${folder} have no password: an earlier version made them, and this one cannot use them.\n` +
        `If they may go, remove ${join(folder, 'database')} and ${join(folder, 'broker')}.`,
    );
  }
  const made = randomBytes(18).toString('base64url');
  await writeFile(path, `${made}\n`, { mode: 0o600 });
  return made;
}
