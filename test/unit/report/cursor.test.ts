import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeCursor, encodeCursor } from '../../../src/report/cursor.ts';

test('a cursor decodes to its event; anything else is not a cursor', () => {
  fc.assert(
    fc.property(fc.uuid(), (id) => {
      expect(decodeCursor(encodeCursor(id))).toBe(id);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const decoded = decodeCursor(text);
      if (decoded !== null) expect(encodeCursor(decoded)).toBe(text);
    }),
  );
});
