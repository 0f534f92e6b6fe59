import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What an operator allows beyond the internet: names of hosts, addresses and subnets (`WEBHOOK_ALLOW`). */
export type Allowed = readonly string[];

/** Public by their range, and not by what they are: IPv4 within IPv6, and Azure's own services. */
const special = ['::/96', '168.63.129.16'];

/** Why an address or a URL is not used, for its owner. */
export class TargetError extends Error {
  override readonly name = 'TargetError';
}

/**
 * Whether requests may be sent there: only the internet, unless it is allowed. Addresses of this machine and its
 * network, among them those where clouds keep secrets, are not, in whatever way they are written.
 */
export function isAllowedAddress(text: string, allowed: Allowed): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  if (allowed.some((one) => contains(one, address))) return true;
  return address.range() === 'unicast' && !special.some((one) => contains(one, address));
}

function contains(subnet: string, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  try {
    const [range, bits] = ipaddr.parseCIDR(
      subnet.includes('/') ? subnet : `${subnet}/${subnet.includes(':') ? 128 : 32}`,
    );
    return range.kind() === address.kind() && address.match(range, bits);
  } catch {
    return false; // the name of a host
  }
}

/**
 * Checks a URL as it is registered and before each attempt. Names are resolved and checked when they are connected to.
 * @throws {TargetError}
 */
export function checkUrl(text: string, allowed: Allowed): URL {
  if (!URL.canParse(text)) throw new TargetError('must be a URL such as https://example.com/afterword');
  const url = new URL(text);
  const host = hostOf(url);
  const isNamed = allowed.includes(host);
  const isAddress = ipaddr.isValid(host);
  if (
    url.protocol !== 'https:' &&
    !(url.protocol === 'http:' && (isNamed || (isAddress && isAllowedAddress(host, allowed) && !isPublic(host))))
  )
    throw new TargetError('must begin with https://');
  if (url.username !== '' || url.password !== '') throw new TargetError('must not contain a user name or a password');
  if (isAddress && !isNamed && !isAllowedAddress(host, allowed))
    throw new TargetError('must not lead to a private address (WEBHOOK_ALLOW)');
  return url;
}

function isPublic(host: string): boolean {
  return isAllowedAddress(host, []);
}

/** Without the brackets of an IPv6 address, and without a dot at the end. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

/**
 * Resolves a name for a connection, and refuses it if any of its addresses is not allowed. It is this answer that is
 * connected to, so that a name cannot lead elsewhere in between.
 */
export function checkedLookup(allowed: Allowed): LookupFunction {
  /** One for each name: many that wait for a silent name server would take the threads that look up others. */
  const pending = new Map<string, Promise<LookupAddress[]>>();

  function resolve(hostname: string): Promise<LookupAddress[]> {
    let shared = pending.get(hostname);
    if (shared === undefined) {
      shared = lookup(hostname, { all: true }).finally(() => pending.delete(hostname));
      pending.set(hostname, shared);
    }
    return shared;
  }

  return (hostname, options, callback) => {
    const isNamed = allowed.includes(hostname.replace(/\.$/, ''));
    resolve(hostname).then(
      (addresses) => {
        if (!isNamed && !addresses.every(({ address }) => isAllowedAddress(address, allowed)))
          return callback(new TargetError(`${hostname} leads to a private address`), '', 0);
        const [first] = addresses;
        if (options.all) return (callback as (e: null, a: LookupAddress[]) => void)(null, addresses);
        callback(null, first?.address ?? '', first?.family ?? 0);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}
