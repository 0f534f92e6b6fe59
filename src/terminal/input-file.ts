import { access, constants, stat } from 'node:fs/promises';
import { UsageError } from '../runtime/start-error.ts';

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'there is no file',
  EISDIR: 'this is a folder, not a file:',
  EACCES: 'no permission to read the file:',
};

/**
 * Checks that a file can be read, without opening it: a pipe can be read only once, from its first byte.
 * @throws {UsageError} @throws the system's error otherwise.
 */
export async function requireReadable(path: string): Promise<void> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw Object.assign(new Error('is a folder'), { code: 'EISDIR' });
    await access(path, constants.R_OK);
  } catch (cause) {
    const problem = problems[(cause as NodeJS.ErrnoException).code ?? ''];
    throw problem === undefined ? cause : new UsageError(`${problem} ${path}`, { cause });
  }
}
