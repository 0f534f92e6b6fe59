import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { requireOperator } from '../../../src/profile/guard.ts';

const key = 'a key of sixteen or more';
const from = (remoteAddress: string, headers: Record<string, string> = {}) =>
  ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage;

test.each([
  [from('127.0.0.1'), null],
  [from('127.9.9.9'), key],
  [from('::1'), null],
  [from('::ffff:127.0.0.1'), null],
  [from('10.0.0.7', { authorization: `Bearer ${key}` }), key],
  [from('10.0.0.7', { authorization: `bearer ${key}`, 'x-forwarded-for': '1.2.3.4' }), key],
  [from('127.0.0.1', { authorization: `Bearer ${key}`, origin: 'http://console' }), key],
])('may: %#', (request, given) => {
  expect(() => requireOperator(request, given)).not.toThrow();
});

test.each([
  ['from another machine', from('10.0.0.7'), key, 403],
  ['through a proxy on this one', from('127.0.0.1', { 'x-forwarded-for': '1.2.3.4' }), key, 403],
  ['through a proxy that says so otherwise', from('::1', { forwarded: 'for=1.2.3.4' }), null, 403],
  ["from a page in somebody's browser here", from('127.0.0.1', { origin: 'http://evil.example' }), null, 403],
  ['from a page without an origin', from('127.0.0.1', { 'sec-fetch-site': 'cross-site' }), null, 403],
  ['with a wrong key', from('10.0.0.7', { authorization: 'Bearer wrong' }), key, 401],
  ['with a wrong key, from here', from('127.0.0.1', { authorization: 'Bearer wrong' }), key, 401],
  ['with a key where there is none', from('10.0.0.7', { authorization: 'Bearer x' }), null, 401],
  ['from nowhere', from(''), null, 403],
])('may not: %s', (_, request, given, status) => {
  expect(() => requireOperator(request, given)).toThrow(expect.objectContaining({ status }));
});
