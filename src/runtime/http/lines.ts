/** A line of a body, without its end. */
export type Line = {
  /** From 1, blank lines counted. */
  readonly number: number;
  /** Null: it is longer than allowed, and was skipped. */
  readonly bytes: Buffer | null;
};

const newline = 0x0a;
const blank = new Set([0x20, 0x09, 0x0d]);
const firstCapacity = 4_096;

/**
 * Splits a body into lines as they come. Blank ones are left out, up to `maxBytes` of them in a row: more count as a
 * line that is too long. At most one line is held, and never a longer one, however small the pieces are in which it
 * comes.
 */
export async function* linesOf(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let number = 0;
  let held = Buffer.allocUnsafe(firstCapacity);
  let length = 0;
  let blanks = 0;

  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      keep(chunk, from, end);
      from = end + 1;
      const line = finish();
      if (line !== null) yield line;
    }
    keep(chunk, from, chunk.length);
  }
  if (length > 0) {
    const line = finish();
    if (line !== null) yield line;
  }

  function keep(chunk: Buffer, from: number, end: number): void {
    if (from === end) return;
    const needed = length + end - from;
    if (needed <= maxBytes) {
      // Twice as much each time, so that a line in a million pieces is not copied a million times.
      if (needed > held.length) {
        const larger = Buffer.allocUnsafe(Math.min(maxBytes, Math.max(needed, held.length * 2)));
        held.copy(larger, 0, 0, length);
        held = larger;
      }
      chunk.copy(held, length, from, end);
    }
    length = needed;
  }

  function finish(): Line | null {
    number++;
    const bytes = length > maxBytes ? null : held.subarray(0, length);
    const isBlank = bytes?.every((byte) => blank.has(byte)) ?? false;
    blanks = isBlank ? blanks + length + 1 : 0;
    length = 0;
    if (!isBlank) {
      // Its buffer is the line's from now on.
      held = Buffer.allocUnsafe(firstCapacity);
      return { number, bytes };
    }
    if (blanks <= maxBytes) return null;
    blanks = 0;
    return { number, bytes: null };
  }
}
