import { createHmac, hash, randomInt, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** So that people and secret scanners recognise it. */
const prefix = 'afw_live_';
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const idLength = 12;
/** 190 bits. */
const secretLength = 32;
const checksumLength = 6;
const shape = new RegExp(`^${prefix}([0-9A-Za-z]{${idLength}})[0-9A-Za-z]{${secretLength + checksumLength}}$`);

/** A new token: prefix, key id, secret, and a checksum by which scanners tell tokens from noise. */
export function newToken(): { readonly token: string; readonly keyId: string } {
  const keyId = randomText(idLength);
  const body = `${prefix}${keyId}${randomText(secretLength)}`;
  return { token: body + checksumOf(body), keyId };
}

/** @returns null if it cannot be one of our tokens: another shape, or a checksum that does not fit. */
export function keyIdOf(token: string): string | null {
  const keyId = shape.exec(token)?.[1];
  if (keyId === undefined) return null;
  return checksumOf(token.slice(0, -checksumLength)) === token.slice(-checksumLength) ? keyId : null;
}

/** @param secret  `API_KEY_SECRET`; empty if there is none: tokens are random, and no dictionary has them. */
export function hashToken(token: string, secret: string): Buffer {
  return createHmac('sha256', `afterword api key\n${secret}`).update(token).digest();
}

/** In the same time whatever the token is. */
export function isSameHash(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Says which secret made a hash, without telling anything of it; empty if there was none. */
export function fingerprintOf(secret: string): string {
  return secret === '' ? '' : hash('sha256', `afterword api key secret\n${secret}`).slice(0, 8);
}

/** CRC-32 in base 62, as GitHub's tokens have it. */
function checksumOf(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < checksumLength; i++) {
    digits = alphabet.charAt(rest % alphabet.length) + digits;
    rest = Math.floor(rest / alphabet.length);
  }
  return digits;
}

function randomText(length: number): string {
  return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
}
