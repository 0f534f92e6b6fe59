import { expect, test } from 'vitest';
import { type AccessFacts, judgeAccess } from '../../../src/operate/index.ts';

const now = Date.parse('2026-11-30T12:00:00Z');
const inDays = (n: number) => new Date(now + n * 86_400_000);
const well: AccessFacts = {
  keys: [{ name: 'app', expiresAt: inDays(90), hasOurSecret: true }],
  isPublished: true,
  allowsOpenApi: false,
  hasTls: true,
  certificateEnds: inDays(60),
  plainHosts: [],
  readableFiles: [],
};
const verdicts = (change: Partial<AccessFacts>) =>
  Object.fromEntries(judgeAccess({ ...well, ...change }, now).map(({ check, status }) => [check, status]));

test('nothing to say about keys that are valid and a certificate that lasts', () => {
  expect(verdicts({})).toEqual({ 'API keys': 'ok', certificate: 'ok' });
});

test.each<[string, Partial<AccessFacts>, Record<string, string>]>([
  ['an open API on this machine', { keys: null, isPublished: false }, { 'API keys': 'ok' }],
  ['an open API that others reach', { keys: null, allowsOpenApi: true }, { 'API keys': 'warn' }],
  ['one that will not start', { keys: null }, { 'API keys': 'fail' }],
  ['no valid key', { keys: [] }, { 'API keys': 'warn' }],
  [
    'a key that ends soon',
    { keys: [{ name: 'a', expiresAt: inDays(13), hasOurSecret: true }] },
    { 'keys that end': 'warn' },
  ],
  [
    'a key of another secret',
    { keys: [{ name: 'a', expiresAt: null, hasOurSecret: false }] },
    { 'key secret': 'fail' },
  ],
  ['a certificate that ends soon', { certificateEnds: inDays(3) }, { certificate: 'warn' }],
  ['one that has ended', { certificateEnds: inDays(-1) }, { certificate: 'fail' }],
  ['connections in the clear', { plainHosts: ['db:3306'] }, { encryption: 'warn' }],
  ['a secret that all can read', { readableFiles: ['.env'] }, { 'files of secrets': 'warn' }],
])('%s', (_, change, expected) => expect(verdicts(change)).toMatchObject(expected));
