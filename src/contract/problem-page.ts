import { readFile } from 'node:fs/promises';

const folder = new URL('../../docs/problems/', import.meta.url);
const code = /^[a-z][a-z0-9_]{2,60}$/;

/** The page about a code, as Markdown; null: there is none. */
export async function findProblemPage(name: string): Promise<string | null> {
  if (!code.test(name)) return null;
  return readFile(new URL(`${name}.md`, folder), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}
