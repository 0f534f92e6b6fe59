import { expect, test } from 'vitest';
import { requestDigest } from '../../../src/accept/digest.ts';
import { parseConversationRequest } from '../../../src/accept/index.ts';
import { conversation } from '../../support/client.ts';

const digestOf = (metadata: object) =>
  requestDigest(parseConversationRequest({ ...body, metadata }), '[]').toString('hex');
const body = conversation();

test.each([
  [{ a: { b: 1 } }, { a: [['b', 1]] }],
  [{ a: {} }, { a: [] }],
  [{ a: {} }, { a: ['object'] }],
  [{ a: [] }, { a: ['list'] }],
  [{ a: null }, {}],
])('%j and %j are not the same request', (one, other) => {
  expect(digestOf(one)).not.toBe(digestOf(other));
});

test('key order does not make a different request', () => {
  expect(digestOf({ a: 1, b: { c: 2, d: 3 } })).toBe(digestOf({ b: { d: 3, c: 2 }, a: 1 }));
});
