import { expect, test } from 'vitest';
import { newEventId, parseEventId } from '../../src/event/event.ts';

test('event ids are unique version 7 UUIDs with the current time', () => {
  const before = Date.now();
  const ids = Array.from({ length: 1_000 }, newEventId);
  const after = Date.now();
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) {
    expect(parseEventId(id)).toBe(id);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const time = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(after);
  }
});
