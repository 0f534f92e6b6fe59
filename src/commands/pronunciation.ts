import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { maxTargetLength } from '../event/conversation.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { UsageError } from '../runtime/start-error.ts';
import { baseOf } from '../send/api-client.ts';
import { type Attempt, type Compared, connectPronunciation } from '../send/pronunciation-client.ts';
import { requireReadable } from '../terminal/input-file.ts';
import { counted, plain, printJson, printLine, printReport } from '../terminal/print.ts';

type Target = { readonly url: string; readonly lang?: string; readonly json: boolean };
type Sentence = { readonly text: string; readonly line: number };
/** `cached`: somebody had looked them up before. */
type Prewarmed = { sentences: number; looked_up: number; cached: number; failed: number };

/** As the API takes them in one call. */
const sentencesAtOnce = 100;
const failuresShown = 5;
const widthWithoutTerminal = 100;

/** Shows how alike two texts are pronounced, and where they are not. */
export async function runCompare(text1: string, text2: string, { url, lang, json }: Target): Promise<number> {
  await using api = await connectPronunciation(baseOf(url));
  const compared = await api.compare(text1, text2, lang);
  if (json) printJson(compared);
  else {
    const lines = alignmentLines(compared, process.stdout.columns ?? widthWithoutTerminal);
    for (const line of lines) printLine(line);
    const from = compared.cached ? ', from the cache' : '';
    const what = lines.length === 0 ? 'neither text has phonemes: ' : '\n';
    printLine(`${what}similarity ${compared.similarity}, distance ${compared.distance}${from}`);
  }
  return exitCodes.ok;
}

/** The two texts below each other, with a mark where they differ, in blocks that fit the terminal. */
function alignmentLines({ alignment }: Compared, width: number): string[] {
  const blocks: [first: string, second: string, mark: string][] = [];
  for (const { op, phoneme_1, phoneme_2 } of alignment) {
    const cells = [phoneme_1 ?? '·', phoneme_2 ?? '·', op === 'same' ? ' ' : '^'].map(plain);
    const widest = Math.max(...cells.map((cell) => [...cell.replace(/\p{M}/gu, '')].length));
    const padded = cells.map((cell) => `${cell}${' '.repeat(widest - [...cell.replace(/\p{M}/gu, '')].length)} `);
    const last = blocks.at(-1);
    if (last === undefined || last[0].length + widest + 1 > width) blocks.push(['', '', '']);
    const block = blocks.at(-1) as [string, string, string];
    for (const row of [0, 1, 2] as const) block[row] += padded[row];
  }
  const lines = blocks.map((block) => block.map((line) => line.trimEnd()).filter((line) => line !== ''));
  return lines.flatMap((block, i) => (i === 0 ? block : ['', ...block]));
}

/**
 * Has an API look up the phonemes of sentences, one per line, so that they are there when they are needed. Ends early
 * if they cannot be looked up now.
 *
 * @returns exit code: 1 if some have none.
 */
export async function runPrewarm(file: string, { url, lang, json }: Target): Promise<number> {
  const { sentences, tooLong } = await readSentences(file);
  if (sentences.length + tooLong.length === 0) throw new UsageError(`no sentences in ${file}`);
  await using api = await connectPronunciation(baseOf(url));
  const result = { sentences: sentences.length + tooLong.length, looked_up: 0, cached: 0, failed: tooLong.length };
  const failures = tooLong.map((line) => `line ${line}: has more than ${maxTargetLength} characters`);
  let stopped: string | null = null;
  for (let i = 0; i < sentences.length && stopped === null; i += sentencesAtOnce) {
    const chunk = sentences.slice(i, i + sentencesAtOnce);
    // An empty reference has no phonemes, and so needs no look-up.
    const attempts = await api.attempts(
      '',
      chunk.map(({ text }) => text),
      lang,
    );
    tally(attempts, result);
    failures.push(...failuresOf(attempts, chunk));
    stopped = whyStopped(attempts);
    if (process.stderr.isTTY) process.stderr.write(`\rprewarmed ${i + chunk.length} of ${sentences.length} `);
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  if (json) printReport({ ...result, failures, stopped });
  else printPrewarmed(result, failures, stopped);
  return result.failed === 0 && stopped === null ? exitCodes.ok : exitCodes.failed;
}

function tally(attempts: readonly Attempt[], into: Prewarmed): void {
  for (const attempt of attempts) {
    if ('error' in attempt) into.failed++;
    else if (attempt.cached) into.cached++;
    else into.looked_up++;
  }
}

function failuresOf(attempts: readonly Attempt[], chunk: readonly Sentence[]): string[] {
  return attempts.flatMap((attempt, i) =>
    'error' in attempt ? [`line ${chunk[i]?.line}: ${attempt.error.detail}`] : [],
  );
}

/** The source is away: the rest would fail in the same way. */
function whyStopped(attempts: readonly Attempt[]): string | null {
  for (const attempt of attempts)
    if ('error' in attempt && attempt.error.code === 'phonemes_unavailable') return attempt.error.detail;
  return null;
}

function printPrewarmed(result: Prewarmed, failures: readonly string[], stopped: string | null): void {
  const { sentences, looked_up, cached, failed } = result;
  printLine(`${counted(sentences, 'sentence')}: ${looked_up} looked up, ${cached} cached before, ${failed} failed`);
  for (const failure of failures.slice(0, failuresShown)) printLine(`  ${plain(failure)}`);
  if (failures.length > failuresShown) printLine(`  … and ${failures.length - failuresShown} more (--json has all)`);
  if (stopped !== null) printLine(`stopped early: ${plain(stopped)}; run the command again to go on`);
}

/** @throws {UsageError} if the file cannot be read. */
async function readSentences(file: string) {
  if (file !== '-') await requireReadable(file);
  const input = file === '-' ? process.stdin : createReadStream(file);
  const sentences: Sentence[] = [];
  const tooLong: number[] = [];
  let line = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if ([...text.trim()].length > maxTargetLength) tooLong.push(line);
    else if (text.trim() !== '') sentences.push({ text: text.trim(), line });
  }
  return { sentences, tooLong };
}
