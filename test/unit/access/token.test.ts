import { expect, test } from 'vitest';
import { fingerprintOf, hashToken, keyIdOf, newToken } from '../../../src/access/token.ts';

test('a token has a prefix, the id of its key, a secret and a checksum, and no two are alike', () => {
  const { token, keyId } = newToken();
  expect(token).toMatch(/^afw_live_[0-9A-Za-z]{50}$/);
  expect(keyIdOf(token)).toBe(keyId);
  expect(newToken().token).not.toBe(token);
});

test('a change of any one character is noticed without asking anybody', () => {
  const { token } = newToken();
  for (let i = 0; i < token.length; i++) {
    const other = token[i] === 'a' ? 'b' : 'a';
    expect(keyIdOf(token.slice(0, i) + other + token.slice(i + 1)), String(i)).toBeNull();
  }
});

test.each(['', 'afw_live_', 'Bearer', `afw_live_${'0'.repeat(50)}`, `afw_live_${'0'.repeat(5_000)}`, 'afw_live_é'])(
  'not a token: %s',
  (text) => expect(keyIdOf(text)).toBeNull(),
);

test('the hash depends on the secret, and its fingerprint tells which one without telling what it is', () => {
  const { token } = newToken();
  expect(hashToken(token, 'a')).not.toEqual(hashToken(token, 'b'));
  expect(hashToken(token, 'a')).toEqual(hashToken(token, 'a'));
  expect(fingerprintOf('')).toBe('');
  expect(fingerprintOf('a secret')).toMatch(/^[0-9a-f]{8}$/);
  expect(fingerprintOf('a secret')).not.toBe(fingerprintOf('another secret'));
});
