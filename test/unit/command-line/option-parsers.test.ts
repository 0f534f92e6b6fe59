import { expect, test } from 'vitest';
import { parsers } from '../../../src/command-line/option-parsers.ts';

test.each(['1d', '2026-01-31T20:00:00Z', 'conv_a1', ''])('%s is not an event id', (text) => {
  expect(() => parsers.eventId(text)).toThrow('must be an event id');
});

test('an event id is', () => {
  expect(parsers.eventId('019a0000-0000-7000-8000-000000000001')).toBe('019a0000-0000-7000-8000-000000000001');
});

test.each(['1e21', '0', '1.5', 'many'])('%s is no count', (text) => {
  expect(() => parsers.count(text)).toThrow('must be a whole number');
});
