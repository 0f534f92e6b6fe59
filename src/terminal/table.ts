import stringWidth from 'string-width';

export type Column = {
  readonly head: string;
  /** Least width in a narrow terminal, characters; not set: the column is never shortened. */
  readonly min?: number;
  /**
   * If the terminal is still too narrow, columns with the lowest rank are left out first; not set: the column stays.
   */
  readonly rank?: number;
};
export type Cell = string | number | Date | null;

const gap = 2;
const graphemes = new Intl.Segmenter();

/**
 * Lays out columns for a person, without borders, so that the lines can be cut and grepped.
 *
 * @param width  of the terminal: columns that do not fit are shortened or left out, times are local and short, columns
 *   without a value are left out. Null: there is no terminal, and everything is shown in full.
 */
export function layTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], width: number | null): string {
  let shown: Shown[] = columns.map((column, i) => ({
    ...column,
    cells: rows.map((row) => textOf(row[i] ?? null, width !== null)),
  }));
  if (width !== null) {
    if (rows.length > 0) shown = shown.filter(({ cells }) => cells.some((cell) => cell !== '-'));
    shown = narrow(shown, width);
  }
  const widths = shown.map(widthOf);
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - stringWidth(cell)))
      .join(' '.repeat(gap))
      .trimEnd();
  const body = [...rows.keys()].map((i) => line(shown.map(({ cells }) => cells[i] ?? '-')));
  return [line(shown.map(({ head }) => head)), ...body].join('\n');
}

type Shown = Column & { readonly cells: readonly string[] };

function narrow(columns: readonly Shown[], width: number): Shown[] {
  const widths = columns.map(widthOf);
  const excess = () => widths.reduce((sum, n) => sum + n + gap, -gap) - width;
  while (excess() > 0) {
    const [widest] = columns
      .map((column, i) => ({
        i,
        spare: (widths[i] ?? 0) - Math.max(column.min ?? Number.POSITIVE_INFINITY, column.head.length),
      }))
      .filter(({ spare }) => spare > 0)
      .sort((a, b) => b.spare - a.spare);
    if (widest === undefined) break;
    widths[widest.i] = (widths[widest.i] ?? 0) - 1;
  }
  if (excess() > 0) {
    const dropped = columns.reduce<Shown | null>((least, column) => {
      if (column.rank === undefined) return least;
      return least?.rank === undefined || column.rank < least.rank ? column : least;
    }, null);
    if (dropped !== null)
      return narrow(
        columns.filter((column) => column !== dropped),
        width,
      );
  }
  return columns.map((column, i) => ({ ...column, cells: column.cells.map((cell) => shorten(cell, widths[i] ?? 0)) }));
}

function widthOf({ head, cells }: Shown): number {
  return cells.reduce((widest, cell) => Math.max(widest, stringWidth(cell)), head.length);
}

function shorten(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let kept = '';
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(kept + segment) >= width) break;
    kept += segment;
  }
  return `${kept}…`;
}

function textOf(cell: Cell, isShort: boolean): string {
  if (cell === null) return '-';
  if (cell instanceof Date) return isShort ? localTime(cell) : cell.toISOString();
  return String(cell);
}

/** `01-31 20:15:07` in the local time zone, with the year if it is not the current one. */
export function localTime(time: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const year = time.getFullYear() === new Date().getFullYear() ? '' : `${time.getFullYear()}-`;
  return (
    `${year}${two(time.getMonth() + 1)}-${two(time.getDate())} ` +
    `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
  );
}
