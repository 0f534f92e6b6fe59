import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BlockList } from 'node:net';
import { Problem } from '../runtime/http/problem.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** What a proxy adds: its own address says nothing about who asks. */
const forwarded = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const;

/**
 * Lets pass who is on this machine, or has the key (`Authorization: Bearer …`). Browsers do not: any page that somebody
 * here looks at could send the request.
 *
 * @param key  `OPS_KEY`; null: nobody from elsewhere.
 * @throws {Problem} 401 or 403.
 */
export function requireOperator(request: IncomingMessage, key: string | null): void {
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (given !== undefined && key !== null && isSame(given, key)) return;
  if (given !== undefined) throw new Problem(401, 'bad_key', 'this is not the key of OPS_KEY');
  const isFromBrowser = request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined;
  if (isFromHere(request) && !isFromBrowser) return;
  throw new Problem(
    403,
    'operators_only',
    'this is for who is on this machine, without a proxy or a browser, or sends OPS_KEY as a bearer token',
  );
}

function isFromHere({ socket, headers }: IncomingMessage): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  if (forwarded.some((name) => headers[name] !== undefined)) return false;
  return loopback.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

/** In the same time for any key. */
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));
}
