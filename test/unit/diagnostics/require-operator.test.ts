import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { requireOperator } from '../../../src/diagnostics/require-operator.ts';

const key = 'a key of sixteen or more';
const from = (remoteAddress: string, headers: Record<string, string> = {}) =>
  ({ socket: { remoteAddress }, headers: { host: '127.0.0.1:3000', ...headers } }) as unknown as IncomingMessage;

test.each([
  [from('127.0.0.1'), null],
  [from('127.9.9.9', { host: 'localhost:9464' }), null],
  [from('::1', { host: '[::1]:9464' }), null],
  [from('::ffff:127.0.0.1'), null],
  [from('10.0.0.7', { authorization: `Bearer ${key}` }), key],
  [from('10.0.0.7', { authorization: `bearer ${key}`, 'x-forwarded-for': '1.2.3.4' }), key],
  [from('127.0.0.1', { authorization: `Bearer ${key}`, origin: 'http://console', host: 'console' }), key],
])('may: %#', (request, given) => {
  expect(() => requireOperator(request, given)).not.toThrow();
});

test.each([
  ['from another machine', from('10.0.0.7'), null, 403],
  ['through a proxy on this one', from('127.0.0.1', { 'x-forwarded-for': '1.2.3.4' }), null, 403],
  ['through a proxy that says so otherwise', from('::1', { forwarded: 'for=1.2.3.4' }), null, 403],
  ['through a proxy on this one that does not say so, without the key', from('127.0.0.1'), key, 401],
  ["from a page in somebody's browser here", from('127.0.0.1', { origin: 'http://evil.example' }), null, 403],
  ['from a page without an origin', from('127.0.0.1', { 'sec-fetch-site': 'cross-site' }), null, 403],
  ['from a page that has a name for this machine', from('127.0.0.1', { host: 'evil.example:3000' }), null, 403],
  ['with a wrong key', from('10.0.0.7', { authorization: 'Bearer wrong' }), key, 401],
  ['with a wrong key, from here', from('127.0.0.1', { authorization: 'Bearer wrong' }), key, 401],
  ['with a key where there is none', from('10.0.0.7', { authorization: 'Bearer x' }), null, 403],
  ['from nowhere', from(''), null, 403],
])('may not: %s', (_, request, given, status) => {
  expect(() => requireOperator(request, given)).toThrow(expect.objectContaining({ status }));
});
