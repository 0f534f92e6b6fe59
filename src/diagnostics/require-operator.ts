import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { Problem } from '../runtime/http/problem.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** What most proxies add: their own address says nothing about who asks. */
const forwarded = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

/**
 * Lets operators pass: with `OPS_KEY`, if there is one, from wherever they are (`Authorization: Bearer …`); else from
 * this machine. A proxy need not say that it is one, so without a key this must not be served on a port that callers
 * reach. Browsers do not pass: any page that somebody here looks at could send the request, or read its answer through
 * a name of its own that leads here.
 *
 * @param key  `OPS_KEY`; null: there is none.
 * @throws {Problem} 401 or 403.
 */
export function requireOperator(request: IncomingMessage, key: string | null): void {
  if (key !== null) {
    const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given !== undefined && isSame(given, key)) return;
    throw new Problem(401, 'key_needed', 'send OPS_KEY as a bearer token (Authorization: Bearer …)');
  }
  if (isFromHere(request) && !isFromBrowser(request)) return;
  throw new Problem(403, 'operators_only', 'only from this machine (no proxy, no browser); set OPS_KEY for others');
}

function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  if (forwarded.some((name) => headers[name] !== undefined)) return false;
  return loopback.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

function isFromBrowser({ headers }: IncomingMessage): boolean {
  if (headers.origin !== undefined || headers['sec-fetch-site'] !== undefined) return true;
  // As Node's inspector does: a page that reaches this machine by a name of its own has that name here.
  const host = headers.host?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '') ?? '';
  return host !== 'localhost' && isIP(host) === 0;
}

/** In the same time for any key. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));
}
