import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Another version of the project, to run next to this one. `main`: path of its `src/main.ts`. */
export type Checkout = { readonly commit: string; readonly main: string };

/** @throws if there is no such ref. */
export async function resolveCommit(ref: string): Promise<string> {
  const { stdout } = await run('git', [
    '-C',
    root,
    'rev-parse',
    '--short',
    '--verify',
    '--quiet',
    `${ref}^{commit}`,
  ]).catch((cause) => {
    throw new Error(`there is no commit ${ref} here`, { cause });
  });
  return stdout.trim();
}

/**
 * Unpacks a git ref into `folder`. It uses this checkout's packages if the lock files are the same, else its own.
 *
 * @throws if there is no such ref.
 */
export async function checkOut(ref: string, folder: string): Promise<Checkout> {
  const commit = await resolveCommit(ref);
  const path = join(folder, commit);
  await mkdir(path);
  const tar = join(folder, `${commit}.tar`);
  await run('git', ['-C', root, 'archive', '--output', tar, commit]);
  await run('tar', ['-xf', tar, '-C', path]);
  const [theirs, ours] = await Promise.all([path, root].map((at) => readFile(join(at, 'package-lock.json'), 'utf8')));
  if (theirs === ours) await symlink(join(root, 'node_modules'), join(path, 'node_modules'));
  else await run('npm', ['ci', '--prefix', path, '--no-audit', '--no-fund', '--silent']);
  return { commit, main: join(path, 'src/main.ts') };
}
