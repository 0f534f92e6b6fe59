import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { layTable, localTime } from '../../../src/terminal/table.ts';

const time = new Date(`${new Date().getFullYear()}-03-04T05:06:07.890Z`);
const columns = [
  { head: 'ID', min: 6, rank: 2 },
  { head: 'NAME', min: 8 },
  { head: 'AT', rank: 1 },
  { head: 'ERROR', rank: 3 },
] as const;
const rows = [
  ['0123456789abcdef', 'a rather long name for a name', time, null],
  ['0123456789abcdee', 'short', time, null],
];
const lines = (width: number | null, given: (string | Date | null)[][] = rows) =>
  layTable(columns, given, width).split('\n');

test('output for another program is complete and unchanged', () => {
  expect(lines(null)).toEqual([
    'ID                NAME                           AT                        ERROR',
    `0123456789abcdef  a rather long name for a name  ${time.toISOString()}  -`,
    `0123456789abcdee  short                          ${time.toISOString()}  -`,
  ]);
});

describe('in a terminal', () => {
  test('times are local and short, and an empty column is hidden', () => {
    expect(lines(200)).toEqual([
      'ID                NAME                           AT',
      `0123456789abcdef  a rather long name for a name  ${localTime(time)}`,
      `0123456789abcdee  short                          ${localTime(time)}`,
    ]);
  });

  test.each([60, 50, 40, 30, 20])('nothing is wider than %i characters', (width) => {
    for (const line of lines(width)) expect([...line].length).toBeLessThanOrEqual(width);
  });

  test('cells are shortened before any column is left out', () => {
    expect(lines(45)[1]).toBe(`0123456789a…  a rather long …  ${localTime(time)}`);
    expect(lines(30)[0]).not.toContain('AT');
    expect(lines(30)[1]).toContain('…');
  });

  test('a table without rows still shows its headings', () => {
    expect(lines(200, [])).toEqual(['ID  NAME  AT  ERROR']);
  });
});

test('wide characters take the columns that a terminal gives them', () => {
  const wide = ['会話会話会話会話会話会話', 'おはようございます、今日は何をしましたか', time, null];
  for (const line of lines(40, [wide])) expect(stringWidth(line)).toBeLessThanOrEqual(40);
});

test('a list of hundreds of thousands is printed', () => {
  const many = Array.from({ length: 200_000 }, (_, i) => [String(i), 'n', time, null]);
  expect(lines(null, many)).toHaveLength(200_001);
});
