import { lookup } from 'node:dns/promises';
import { expect, test } from 'vitest';
import { checkedLookup, checkUrl, isAllowedAddress, TargetError } from '../../../src/webhooks/target.ts';

test.each([
  ['this machine', '127.0.0.1'],
  ['this machine, another of its addresses', '127.8.8.8'],
  ['this machine, IPv6', '::1'],
  ['any address', '0.0.0.0'],
  ['any address, IPv6', '::'],
  ['a private network', '10.1.2.3'],
  ['a private network', '172.16.0.1'],
  ['a private network', '192.168.1.1'],
  ['a network of a provider', '100.64.0.1'],
  ['link-local', '169.254.1.1'],
  ['the metadata of most clouds', '169.254.169.254'],
  ['the metadata of Alibaba', '100.100.100.200'],
  ['the metadata of AWS, IPv6', 'fd00:ec2::254'],
  ['link-local, IPv6', 'fe80::1'],
  ['unique local, IPv6', 'fc00::1'],
  ['mapped', '::ffff:127.0.0.1'],
  ['mapped, in hex', '::ffff:7f00:1'],
  ['mapped, private', '::ffff:10.0.0.1'],
  ['translated (NAT64)', '64:ff9b::7f00:1'],
  ['6to4 of a private one', '2002:7f00:1::'],
  ['IPv4 within IPv6', '::7f00:1'],
  ['the platform of Azure', '168.63.129.16'],
  ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
  ['multicast', '224.0.0.1'],
  ['multicast, IPv6', 'ff02::1'],
  ['broadcast', '255.255.255.255'],
  ['documentation', '192.0.2.1'],
  ['benchmarks', '198.18.0.1'],
  ['reserved', '240.0.0.1'],
  ['no address', 'localhost'],
  ['nothing', ''],
])('%s (%s) is not sent to', (_, address) => expect(isAllowedAddress(address, [])).toBe(false));

test.each(['93.184.216.34', '8.8.8.8', '2606:2800:220:1:248:1893:25c8:1946'])('%s is', (address) =>
  expect(isAllowedAddress(address, [])).toBe(true),
);

test.each([
  'https://127.0.0.1/x',
  'https://127.1/x',
  'https://2130706433/',
  'https://0x7f000001/',
  'https://0177.0.0.1/',
  'https://[::1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://169.254.169.254/latest/meta-data',
  'http://example.com/',
  'ftp://example.com/',
  'file:///etc/passwd',
  'gopher://127.0.0.1:6379/_FLUSHALL',
  'https://user:password@example.com/',
  'https://',
  'not a URL',
  '',
])('%s cannot be registered', (url) => expect(() => checkUrl(url, [])).toThrow(TargetError));

test('a receiver on the internet can, and on this machine only if an operator allows it', () => {
  expect(checkUrl('https://example.com:8443/hook?x=1', []).href).toBe('https://example.com:8443/hook?x=1');
  expect(() => checkUrl('http://localhost:9/x', [])).toThrow(TargetError);
  expect(checkUrl('http://localhost:9/x', ['localhost']).port).toBe('9');
  expect(checkUrl('http://127.0.0.1:9/x', ['127.0.0.0/8']).port).toBe('9');
  expect(() => checkUrl('http://10.0.0.1/x', ['127.0.0.0/8'])).toThrow(TargetError);
  expect(() => checkUrl('http://8.8.8.8/x', ['127.0.0.0/8'])).toThrow('https');
});

const connectTo = (name: string, allowed: readonly string[] = []) =>
  new Promise<string>((resolve, reject) =>
    checkedLookup(allowed)(name, {}, (error, address) => (error ? reject(error) : resolve(String(address)))),
  );

test('a name is checked by what it leads to when it is connected to', async () => {
  // As a name of somebody else could, at the second time that it is asked for.
  expect((await lookup('localhost')).address).toMatch(/^127\.|^::1$/);
  await expect(connectTo('localhost')).rejects.toThrow(TargetError);
  await expect(connectTo('localhost.')).rejects.toThrow();
  expect(await connectTo('localhost', ['localhost'])).toMatch(/^127\.|^::1$/);
  expect(await connectTo('localhost', ['127.0.0.0/8', '::1'])).toMatch(/^127\.|^::1$/);
});
