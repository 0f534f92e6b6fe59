import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseConversationRequest } from '../accept/index.ts';
import { StartError } from '../runtime/start-error.ts';
import { requireReadable } from '../terminal/input-file.ts';

const samples = fileURLToPath(new URL('../../scripts/samples/conversations.ndjson', import.meta.url));
/** A user's events are added up one after the other, so a single body must not give all events the same user. */
const users = 1_000;

/** Returns the next request body, with new ids. */
export type NextBody = () => Record<string, unknown> & { readonly conversation_id: string };

/**
 * Reads request bodies, and hands them out in turn.
 * @param file  one body, or one per line; null for the samples of this project.
 * @returns how many there are, and a function that returns the next one.
 * @throws {UsageError} if the file cannot be read. @throws {StartError} that says which body is invalid.
 */
export async function readBodies(file: string | null): Promise<{ readonly count: number; readonly next: NextBody }> {
  if (file !== null) await requireReadable(file);
  const text = await readFile(file ?? samples, 'utf8').catch((cause: unknown) => {
    throw new StartError('the samples are not installed here: name a file of request bodies with --body FILE', {
      cause,
    });
  });
  const bodies = parseAll(text);
  for (const [i, body] of bodies.entries()) {
    try {
      parseConversationRequest(body);
    } catch (cause) {
      const errors = (cause as { errors?: readonly { pointer: string; detail: string }[] }).errors ?? [];
      throw new StartError(
        `body ${i + 1} of ${file} would be refused: ${errors.map((e) => `${e.pointer} ${e.detail}`).join('; ')}`,
        {
          cause,
        },
      );
    }
  }
  if (bodies.length === 0) throw new StartError(`${file} has no bodies`);
  let n = 0;
  return {
    count: bodies.length,
    next: () => {
      const i = n++;
      return {
        ...(bodies[i % bodies.length] as object),
        conversation_id: `size_${i}`,
        user_id: `size_user_${i % users}`,
      };
    },
  };
}

/** One JSON document, or one per line. */
function parseAll(text: string): unknown[] {
  try {
    return [JSON.parse(text) as unknown].flat();
  } catch {
    return text.split('\n').flatMap((line, i) => {
      if (line.trim() === '') return [];
      try {
        return [JSON.parse(line) as unknown];
      } catch (cause) {
        throw new StartError(`line ${i + 1} is not JSON`, { cause });
      }
    });
  }
}
