import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The password of the servers whose data are in `folder`, created on first use. Safe in a URL. */
export async function passwordOf(folder: string): Promise<string> {
  const path = join(folder, 'password');
  const kept = await readFile(path, 'utf8').catch(() => null);
  if (kept !== null) return kept.trim();
  const made = randomBytes(18).toString('base64url');
  await writeFile(path, `${made}\n`, { mode: 0o600 });
  return made;
}
