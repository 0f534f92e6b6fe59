/** A line of a body, without its end. */
export type Line = {
  /** From 1, blank lines counted. */
  readonly number: number;
  /** Null: it is longer than allowed, and was skipped. */
  readonly bytes: Buffer | null;
};

const newline = 0x0a;

/** Splits a body into lines as they come. Blank ones are left out. At most one line is held, and never a longer one. */
export async function* linesOf(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Line> {
  let number = 0;
  let held: Buffer[] = [];
  let length = 0;

  function finish(): Line | null {
    number++;
    const bytes = length > maxBytes ? null : Buffer.concat(held);
    const isBlank = bytes?.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
    held = [];
    length = 0;
    return isBlank ? null : { number, bytes };
  }

  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      keep(chunk.subarray(from, end));
      from = end + 1;
      const line = finish();
      if (line !== null) yield line;
    }
    keep(chunk.subarray(from));
  }
  if (length > 0) {
    const line = finish();
    if (line !== null) yield line;
  }

  function keep(part: Buffer): void {
    length += part.length;
    if (length <= maxBytes) held.push(part);
    else held = [];
  }
}
