import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { normaliseLog } from '../../../src/accept/normalise-log.ts';
import { speakerOf } from '../../../src/event/conversation.ts';
import { contract } from '../../support/contract.ts';

/** Items are checked by hand, because that is faster; the document describes them by a schema. */

const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);
const fits = ajv.compile((contract.components?.schemas?.['LogItem'] ?? false) as object);
const span = { start: new Date('2026-01-31T20:00:00Z'), end: new Date('2026-01-31T20:10:00Z') };

const who = fc.constantFrom(undefined, 'user', 'USER', 'PIKA', 'bot', 'stranger', '', 5, null);
const what = fc.constantFrom(undefined, null, '', 'Hello!', 5, ['Hello!']);
const item = fc
  .record({
    speaker: who,
    text: what,
    character: who,
    content: what,
    timestamp: fc.constantFrom(undefined, null, '2026-01-31T20:05:00Z', '2026-01-31T20:05:00+07:00', 'yesterday', 5),
    target_text: fc.constantFrom(undefined, null, 'Hello!', 'x'.repeat(501), 5),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));

test('what the document allows is taken, if it is the user or the bot who speaks; nothing else is', () => {
  fc.assert(
    fc.property(item, (one) => {
      // With both shapes at once it is `character` that counts.
      const isCharacter = 'character' in one || ('content' in one && !('speaker' in one));
      const speaker = speakerOf(isCharacter ? one['character'] : one['speaker']);
      fc.pre(!('character' in one && 'speaker' in one));
      // What the bot was asked to say does not count, and is not looked at.
      fc.pre(speaker !== 'pika' || fits({ ...one, target_text: null }) === fits(one));
      const isTaken = normaliseLog([one], span, 'conversation_log').errors.length === 0;
      expect(isTaken).toBe(fits(one) && speaker !== null);
    }),
    { numRuns: 3_000 },
  );
});
