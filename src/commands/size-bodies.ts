import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type ConversationRequest, parseConversationRequest } from '../accept/index.ts';
import { StartError } from './start-error.ts';

const samples = fileURLToPath(new URL('../../scripts/samples/conversations.ndjson', import.meta.url));
/** One user's events are added up one after the other; a single body must not make all events one user's. */
const users = 1_000;

/**
 * Requests made of real bodies in turn, each under ids of its own.
 * @param file  one body, or one a line; null for the samples of this project.
 * @throws {StartError} that says which line is no body.
 */
export async function readBodies(file: string | null): Promise<() => ConversationRequest> {
  const text = await readFile(file ?? samples, 'utf8').catch((cause: unknown) => {
    throw new StartError(
      file === null ? 'the samples are not installed here: name a file of request bodies with --body FILE' : `there is no file ${file}`,
      { cause },
    );
  });
  const requests = parseAll(text).map((body, i) => {
    try {
      return parseConversationRequest(body);
    } catch (cause) {
      const errors = (cause as { errors?: readonly { pointer: string; detail: string }[] }).errors ?? [];
      throw new StartError(`body ${i + 1} of ${file} would be refused: ${errors.map((e) => `${e.pointer} ${e.detail}`).join('; ')}`, {
        cause,
      });
    }
  });
  if (requests.length === 0) throw new StartError(`${file} has no bodies`);
  let n = 0;
  return () => {
    const i = n++;
    const request = requests[i % requests.length] as ConversationRequest;
    return { ...request, conversationId: `size_${process.pid}_${i}`, userId: `size_user_${i % users}` };
  };
}

/** One JSON document, or one a line. */
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
