import { hash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Caller } from '../runtime/http/caller.ts';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { ApiKey, MarkUsed, ReadKeys } from './ports.ts';
import { fingerprintOf, hashToken, isSameHash, keyIdOf } from './token.ts';

/** Why a token was refused; `detail` is for its owner. */
export type Refusal = {
  readonly code: 'key_invalid' | 'key_revoked' | 'key_expired';
  readonly detail: string;
  /** For operators, what its owner is not told. */
  readonly why?: string;
};
export type Known = { readonly key: ApiKey; readonly caller: Caller };

export type Keyring = {
  /** No key was ever created: the API asks for none. */
  readonly isOpen: boolean;
  /** APIs of the fleet, this one included. */
  readonly apis: number;
  /** Something to wait for only if the token was not seen before. */
  find(token: string): Known | Refusal | Promise<Known | Refusal>;
  /** Ends with what was used since the last minute. */
  close(): Promise<void>;
};

/** A revocation counts after this long, in every API. */
const pollMs = 2_000;
/** A key that nobody knows may have been created just now: worth a look. Guesses share one, at most twice a second. */
const lookAgainMs = 500;
const answerMs = 2_000;
const flushMs = 60_000;
/** Looks. */
const wholeEvery = 30;
const mostRight = 10_000;

const invalid: Refusal = { code: 'key_invalid', detail: 'this is not a valid API key' };

/**
 * All keys, in memory: requests are checked without the database, so that guesses cost it nothing, and what was known
 * counts while it is away. Changes are read every two seconds.
 *
 * @param options.secret  `API_KEY_SECRET`, or empty.
 * @throws what `readKeys` throws, at first.
 */
export async function openKeyring(options: {
  readonly readKeys: ReadKeys;
  readonly markUsed: MarkUsed;
  readonly secret: string;
  readonly log: Logger;
}): Promise<Keyring> {
  const { secret, log } = options;
  const fingerprint = fingerprintOf(secret);
  const keys = new Map<string, Known>();
  const right = rightTokens((known) => keys.get(known.key.keyId) === known);
  const used = new Set<string>();
  let newest: Date | null = null;
  let apis = 1;
  let looks = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | null = null;
  let again: Promise<void> | null = null;

  const isValid = (keyId: string) => {
    const key = keys.get(keyId)?.key;
    return key !== undefined && key.revokedAt === null && !hasExpired(key);
  };

  async function look(): Promise<void> {
    // All of them from time to time: rows may have been restored or removed by hand, and clocks put right.
    const isWhole = looks++ % wholeEvery === 0;
    const changes = await options.readKeys(isWhole ? null : newest);
    if (isWhole) keys.clear();
    for (const key of changes.keys) keys.set(key.keyId, { key, caller: callerWith(key, () => isValid(key.keyId)) });
    if (newest === null && changes.newest !== null) log.info('API keys exist: requests must carry one');
    newest = changes.newest ?? newest;
    apis = Math.max(1, changes.apis);
  }

  function lookOnce(): Promise<void> {
    lookedAt = performance.now();
    looking ??= look().finally(() => {
      looking = null;
    });
    return looking;
  }

  /** As soon as it may be: all who ask meanwhile wait for the same one. */
  function lookAgain(): Promise<void> {
    again ??= delay(Math.max(0, lookedAt + lookAgainMs - performance.now())).then(async () => {
      // One that is under way may have begun before the key was there.
      await looking?.catch(() => {});
      again = null;
      return lookOnce();
    });
    return again;
  }

  function quietly(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => log.debug({ err: error }, 'API keys are as they were'));
  }

  async function flush(): Promise<void> {
    if (used.size === 0) return;
    const ids = [...used];
    used.clear();
    await options.markUsed(ids);
  }

  async function check(token: string): Promise<Known | Refusal> {
    const keyId = keyIdOf(token);
    if (keyId === null) return invalid;
    if (!keys.has(keyId)) await settlesWithin(quietly(lookAgain()), answerMs);
    const known = keys.get(keyId);
    // A hash is made and compared for an unknown id, too: the answer takes as long.
    const hashed = hashToken(token, secret);
    if (!isSameHash(hashed, known?.key.hash ?? Buffer.alloc(hashed.length)) || known === undefined) {
      const isOfOther = known !== undefined && known.key.hashedWith !== fingerprint;
      return isOfOther ? { ...invalid, why: `${known.key.name} was made with another API_KEY_SECRET` } : invalid;
    }
    right.set(token, known);
    return admit(known);
  }

  function admit(known: Known): Known | Refusal {
    const { key } = known;
    if (key.revokedAt !== null) return { code: 'key_revoked', detail: `this API key (${key.name}) was revoked` };
    if (hasExpired(key))
      return { code: 'key_expired', detail: `this API key (${key.name}) expired on ${key.expiresAt?.toISOString()}` };
    used.add(key.keyId);
    return known;
  }

  await lookOnce();
  const timers = [
    setInterval(() => void quietly(lookOnce()), pollMs),
    setInterval(() => void quietly(flush()), flushMs),
  ];
  for (const timer of timers) timer.unref();

  return {
    get isOpen() {
      return newest === null;
    },
    get apis() {
      return apis;
    },
    find(token) {
      const known = right.get(token);
      return known === undefined ? check(token) : admit(known);
    },
    async close() {
      for (const timer of timers) clearInterval(timer);
      await settlesWithin(quietly(flush()), answerMs);
    },
  };
}

/**
 * Tokens that were found right, so that a request costs one plain hash and no HMAC. Kept as hashes that nobody else can
 * make: memory has no token, and how long a wrong one takes tells nothing.
 * @param isStill  false once the key was read anew.
 */
function rightTokens(isStill: (known: Known) => boolean) {
  const salt = randomBytes(32).toString('base64');
  const seen = new LRUCache<string, Known>({ max: mostRight });
  const idOf = (token: string) => hash('sha256', salt + token, 'base64');
  return {
    get(token: string): Known | undefined {
      const known = seen.get(idOf(token));
      return known !== undefined && isStill(known) ? known : undefined;
    },
    set: (token: string, known: Known) => void seen.set(idOf(token), known),
  };
}

function hasExpired({ expiresAt }: ApiKey): boolean {
  return expiresAt !== null && expiresAt.getTime() <= Date.now();
}

function callerWith({ keyId, name, scopes, boundTo }: ApiKey, isValid: () => boolean): Caller {
  const given = new Set(scopes);
  const isAdmin = given.has('admin');
  return {
    name: `key ${name} (${keyId})`,
    isAnybody: false,
    isValid,
    charge: null,
    may: (scope) => isAdmin || given.has(scope),
    boundTo: boundTo === null ? null : boundTo.endsWith('*') ? { prefix: boundTo.slice(0, -1) } : { userId: boundTo },
  };
}
