import { styleText } from 'node:util';
import { type Cell, type Column, layTable, localTime } from './table.ts';

/** Prints a table, fitted to the terminal if there is one, with control characters replaced. */
export function printTable(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
  const safe = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? plain(cell) : cell)));
  printLine(layTable(columns, safe, terminalWidth()));
}

/** Prints names and values, one per line; objects are indented below their names. */
export function printFields(fields: Readonly<Record<string, unknown>>): void {
  const widest = Math.max(...Object.keys(fields).map((name) => name.length));
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
      const lines = JSON.stringify(value, null, 2).split('\n');
      printLine(`${name}\n${lines.map((line) => `  ${plain(line)}`).join('\n')}`);
    } else printLine(`${name.padEnd(widest)}  ${fieldText(value)}`);
  }
}

function fieldText(value: unknown): string {
  if (value === null || value === undefined) return '-';
  if (value instanceof Date)
    return terminalWidth() === null ? value.toISOString() : `${localTime(value)}  (${value.toISOString()})`;
  return plain(String(value));
}

/** Replaces control characters, which could move the cursor: callers choose the ids that we print. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '\ufffd');
}

/** A verdict padded with blanks, coloured if the terminal wants colours (`NO_COLOR`). */
export function verdict(status: 'ok' | 'warn' | 'fail' | 'unknown'): string {
  const { text, colour } = verdicts[status];
  return styleText(colour, text, { stream: process.stdout }) + ' '.repeat(6 - text.length);
}

const verdicts = {
  ok: { text: 'ok', colour: 'green' },
  warn: { text: 'WARN', colour: 'yellow' },
  fail: { text: 'FAIL', colour: 'red' },
  unknown: { text: '?', colour: 'yellow' },
} as const;

/** `1 warning`, `2 warnings`. */
export function counted(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** Prints one of our reports as JSON, with keys in snake_case as in the API. */
export function printReport(report: object): void {
  printJson(snakeKeys(report));
}

function snakeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  const entries = Object.entries(value).map(([key, child]) => [
    key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snakeKeys(child),
  ]);
  return Object.fromEntries(entries);
}

/** Null if the output goes to a file or another program. */
function terminalWidth(): number | null {
  return process.stdout.isTTY ? (process.stdout.columns ?? 80) : null;
}
