import Table from 'cli-table3';

/** Columns for a person; nothing but the lines, so that they can be cut and grepped. */
export function printTable(head: readonly string[], rows: readonly (readonly (string | number | null)[])[]): void {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(borders.map((name) => [name, ''])),
  });
  table.push(...rows.map((row) => row.map((cell) => (cell === null ? '-' : plain(String(cell))))));
  printLine(
    table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n'),
  );
}

/** Ids are callers' texts: what would move a terminal's cursor is shown and not obeyed. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '\ufffd');
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

const borders = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
  'middle',
] as const;
