import { expect, test } from 'vitest';
import { linesOf } from '../../../src/runtime/http/lines.ts';

async function* inPieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function split(text: string, { size = 1_000, maxBytes = 100 } = {}) {
  const lines: (readonly [number, string | null])[] = [];
  for await (const { number, bytes } of linesOf(inPieces(text, size), maxBytes))
    lines.push([number, bytes === null ? null : bytes.toString()]);
  return lines;
}

test.each([1, 2, 3, 7, 1_000])('lines are the same, whatever the pieces (%i bytes)', async (size) => {
  const long = 'x'.repeat(101);
  expect(await split(`one\n\ntwo\r\n  \t\n${long}\n${long.slice(1)}\nlast`, { size })).toEqual([
    [1, 'one'],
    [3, 'two\r'],
    [5, null],
    [6, 'x'.repeat(100)],
    [7, 'last'],
  ]);
});

test('lines that were given stay as they are', async () => {
  const given: Buffer[] = [];
  for await (const { bytes } of linesOf(inPieces('first\nsecond\n', 4), 100)) if (bytes) given.push(bytes);
  expect(given.map(String)).toEqual(['first', 'second']);
});

test('blank lines are bounded: so many in a row count as one that is too long', async () => {
  expect(await split('\n'.repeat(250), { maxBytes: 100 })).toEqual([
    [101, null],
    [202, null],
  ]);
  expect(await split(`${'\n'.repeat(90)}a\n${'\n'.repeat(90)}b`, { maxBytes: 100 })).toEqual([
    [91, 'a'],
    [182, 'b'],
  ]);
});

test('a line in many small pieces takes no more memory than its bytes', async () => {
  const mib = 1_048_576;
  async function* bytes() {
    for (let i = 0; i < mib; i++) yield Buffer.from('x');
  }
  const lines = linesOf(bytes(), mib);
  const { value } = await lines.next();
  expect(value?.bytes?.length).toBe(mib);
  // One buffer, doubled: no piece is kept.
  expect(value?.bytes?.buffer.byteLength).toBeLessThanOrEqual(2 * mib);
});
