import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { StartError } from '../runtime/start-error.ts';
import { requireReadable } from '../terminal/input-file.ts';

/** One body and its line number, counted from 1. */
type Body = { readonly text: string; readonly line: number };

/**
 * The bodies of an NDJSON file, one per line; blank lines are skipped.
 *
 * @param file  its path, or `-` for stdin.
 * @throws {UsageError} if the file cannot be read. @throws {StartError} while reading, if it is a JSON list, or one
 *   document over several lines.
 */
export async function readBodies(file: string): Promise<AsyncIterable<Body>> {
  if (file === '-') return bodiesOf(process.stdin, file);
  await requireReadable(file);
  return bodiesOf(createReadStream(file), file);
}

async function* bodiesOf(input: NodeJS.ReadableStream, file: string): AsyncGenerator<Body> {
  let line = 0;
  let isFirst = true;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if (text.trim() === '') continue;
    if (isFirst) refuseOtherShapes(text.trim(), file === '-' ? 'FILE' : file);
    isFirst = false;
    yield { text, line };
  }
}

/** Refuses a list or a document over several lines at once, which the API would refuse line by line. */
function refuseOtherShapes(first: string, file: string): void {
  const jq = first.startsWith('[') ? "jq -c '.[]'" : isCut(first) ? 'jq -c .' : null;
  if (jq === null) return;
  const what = first.startsWith('[') ? 'a JSON list' : 'JSON over several lines';
  throw new StartError(
    `${file === 'FILE' ? 'the input' : file} is ${what}; send takes one body per line: ` +
      `${jq} ${file} | scripts/afterword send -`,
  );
}

function isCut(text: string): boolean {
  if (!text.startsWith('{')) return false;
  try {
    JSON.parse(text);
    return false;
  } catch {
    return !text.endsWith('}');
  }
}
