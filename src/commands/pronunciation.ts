import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { maxTargetLength } from '../event/conversation.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { baseOf } from '../send/api-client.ts';
import { type Attempt, type Compared, connectPronunciation } from '../send/pronunciation-client.ts';
import { requireReadable } from '../terminal/input-file.ts';
import { counted, plain, printJson, printLine, printReport } from '../terminal/print.ts';

type Target = { readonly url: string; readonly lang?: string; readonly json: boolean };

/** As the API takes them in one call. */
const sentencesAtOnce = 100;
const failuresShown = 5;

/** Shows how alike two texts are pronounced, and where they are not. */
export async function runCompare(text1: string, text2: string, { url, lang, json }: Target): Promise<number> {
  await using api = await connectPronunciation(baseOf(url));
  const compared = await api.compare(text1, text2, lang);
  if (json) printJson(compared);
  else printCompared(compared);
  return exitCodes.ok;
}

function printCompared({ similarity, distance, alignment, cached }: Compared): void {
  const columns = alignment.map(({ op, phoneme_1, phoneme_2 }) => {
    const cells = [phoneme_1 ?? '·', phoneme_2 ?? '·', op === 'same' ? ' ' : '^'].map(plain);
    const widest = Math.max(...cells.map((cell) => [...cell].length));
    return cells.map((cell) => cell + ' '.repeat(widest - [...cell].length));
  });
  for (const row of [0, 1, 2]) {
    const line = columns
      .map((column) => column[row])
      .join(' ')
      .trimEnd();
    if (line !== '') printLine(line);
  }
  printLine(`\nsimilarity ${similarity}, distance ${distance}${cached ? ', from the cache' : ''}`);
}

/**
 * Has an API look up the phonemes of sentences, one a line, so that they are there when they are needed.
 * @returns exit code: 1 if some have none.
 */
export async function runPrewarm(file: string, { url, lang, json }: Target): Promise<number> {
  const { sentences, tooLong } = await readSentences(file);
  await using api = await connectPronunciation(baseOf(url));
  const summary = { sentences: sentences.length + tooLong.length, looked_up: 0, cached: 0, failed: tooLong.length };
  const failures = tooLong
    .slice(0, failuresShown)
    .map((line) => `line ${line}: has more than ${maxTargetLength} characters`);
  for (let i = 0; i < sentences.length; i += sentencesAtOnce) {
    const chunk = sentences.slice(i, i + sentencesAtOnce);
    // An empty reference has no phonemes, and so needs no look-up.
    const attempts = await api.attempts(
      '',
      chunk.map(({ text }) => text),
      lang,
    );
    for (const [k, attempt] of attempts.entries()) count(attempt, chunk[k]?.line ?? 0);
    if (process.stderr.isTTY) process.stderr.write(`\r${Math.min(i + sentencesAtOnce, sentences.length)} `);
  }
  if (process.stderr.isTTY) process.stderr.write('\r');

  function count(attempt: Attempt, line: number): void {
    if ('error' in attempt) {
      summary.failed++;
      if (failures.length < failuresShown) failures.push(`line ${line}: ${attempt.error.detail}`);
    } else if (attempt.cached) summary.cached++;
    else summary.looked_up++;
  }

  if (json) printReport({ ...summary, failures });
  else {
    printLine(
      `${counted(summary.sentences, 'sentence')}: ${summary.looked_up} looked up, ` +
        `${summary.cached} known before, ${summary.failed} without phonemes`,
    );
    for (const failure of failures) printLine(`  ${plain(failure)}`);
  }
  return summary.failed === 0 ? exitCodes.ok : exitCodes.failed;
}

/** @throws {UsageError} if the file cannot be read. */
async function readSentences(file: string) {
  if (file !== '-') await requireReadable(file);
  const input = file === '-' ? process.stdin : createReadStream(file);
  const sentences: { text: string; line: number }[] = [];
  const tooLong: number[] = [];
  let line = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if ([...text.trim()].length > maxTargetLength) tooLong.push(line);
    else if (text.trim() !== '') sentences.push({ text: text.trim(), line });
  }
  return { sentences, tooLong };
}
