import fc from 'fast-check';
import { expect, test } from 'vitest';
import { normaliseLog } from '../../../src/accept/normalise-log.ts';
import { parseTime } from '../../../src/runtime/parse-time.ts';

const span = { start: new Date('2026-01-01T00:00:00Z'), end: new Date('2026-01-01T00:20:00Z') };

test('the worked example: 4 raw items over 1,200 s, items 0 and 2 empty', () => {
  const raw = ['', 'hello', ' ', 'bye'].map((content, i) => ({
    character: i % 2 ? 'USER' : 'BOT_RESPONSE_CONVERSATION',
    content,
  }));
  const { turns, errors } = normaliseLog(raw, span, 'conversation_logs');
  expect(errors).toEqual([]);
  expect(turns).toEqual([
    { speaker: 'user', turn_id: 1, text: 'hello', timestamp: '2026-01-01T00:05:00.000Z' },
    { speaker: 'user', turn_id: 2, text: 'bye', timestamp: '2026-01-01T00:15:00.000Z' },
  ]);
});

test('both shapes in one list, every speaker name, given times kept', () => {
  const { turns } = normaliseLog(
    [
      { speaker: 'PIKA', text: 'a', turn_id: 9, timestamp: '2026-01-01T07:01:00+07:00' },
      { character: 'USER_RESPONSE_CONVERSATION', content: 'b' },
      { speaker: 'Bot', text: 'c' },
      { character: 'BOT', content: 'd' },
      { speaker: 'user', text: null },
    ],
    span,
    'conversation_log',
  );
  expect(turns.map((t) => [t.speaker, t.turn_id, t.timestamp])).toEqual([
    ['pika', 1, '2026-01-01T00:01:00.000Z'],
    ['user', 2, '2026-01-01T00:04:00.000Z'],
    ['pika', 3, '2026-01-01T00:08:00.000Z'],
    ['pika', 4, '2026-01-01T00:12:00.000Z'],
  ]);
});

const item = fc.oneof(
  fc.record({
    character: fc.constantFrom('BOT', 'USER', 'BOT_RESPONSE_CONVERSATION', 'USER_RESPONSE_CONVERSATION'),
    content: fc.string({ unit: 'grapheme' }),
  }),
  fc.record({ speaker: fc.constantFrom('pika', 'bot', 'user', 'User'), text: fc.string({ unit: 'binary' }) }),
);

test('numbered from 1, text trimmed, never blank, times ordered and within the conversation; idempotent', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 50 }), (items) => {
      const { turns, errors } = normaliseLog(items, span, 'conversation_log');
      expect(errors).toEqual([]);
      expect(turns.map((t) => t.turn_id)).toEqual(turns.map((_, i) => i + 1));
      for (const turn of turns) {
        expect(turn.text).toBe(turn.text.trim());
        expect(turn.text).not.toBe('');
        expect(turn.text.isWellFormed()).toBe(true);
        expect(turn.timestamp >= span.start.toISOString() && turn.timestamp < span.end.toISOString()).toBe(true);
      }
      expect(turns.map((t) => t.timestamp)).toEqual(turns.map((t) => t.timestamp).sort());
      expect(normaliseLog(turns, span, 'conversation_log').turns).toEqual(turns);
    }),
  );
});

test('any item gives a turn or an error with a pointer to it, never an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.anything(), { maxLength: 10 }), (items) => {
      const { turns, errors } = normaliseLog(items, span, 'conversation_log');
      expect(turns.length).toBeLessThanOrEqual(items.length);
      for (const error of errors) expect(error.pointer).toMatch(/^\/conversation_log\/\d+/);
    }),
  );
});

test.each([
  ['2026-01-31T20:15:00Z', '2026-01-31T20:15:00.000Z'],
  ['2026-01-31T20:15Z', '2026-01-31T20:15:00.000Z'],
  ['2026-01-31T20:15:00.123456+07:00', '2026-01-31T13:15:00.123Z'],
  ['2026-01-31T20:15:00+0700', '2026-01-31T13:15:00.000Z'],
  ['2028-02-29t00:00:00z', '2028-02-29T00:00:00.000Z'],
  ['2016-12-31T23:59:60Z', '2016-12-31T23:59:59.000Z'],
])('%s is a time', (text, iso) => {
  expect(parseTime(text)?.toISOString()).toBe(iso);
});

test.each([
  '2026-01-31T20:15:00',
  '2026-02-30T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-01-01',
  '0001-01-01T00:00:00Z',
  '9999-12-31T23:59:59-01:00',
  '2026-01-01T25:00:00Z',
  '2026-01-01T12:30:60Z',
  '',
  'now',
])('%s is not', (text) => {
  expect(parseTime(text)).toBeNull();
});
