import type { Scope } from '../runtime/http/caller.ts';

/** A key as it is stored: never the token itself. */
export type ApiKey = {
  /** The public part of the token. */
  readonly keyId: string;
  /** For people, and for limits: keys that follow one another in a rotation share it. */
  readonly name: string;
  /** 32 bytes: HMAC-SHA256 of the token under `API_KEY_SECRET`. */
  readonly hash: Buffer;
  /** Which `API_KEY_SECRET` made the hash (see `fingerprintOf`). */
  readonly hashedWith: string;
  readonly scopes: readonly Scope[];
  /** A user's id, or the beginning of ids followed by `*`; null: every user. */
  readonly boundTo: string | null;
  /** Requests per minute; null: as configured. */
  readonly perMinute: number | null;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
};

/** The same, for lists. */
export type KnownKey = ApiKey & {
  readonly createdAt: Date;
  readonly createdBy: string;
  /** To the minute; null: never. */
  readonly lastUsedAt: Date | null;
};

export type KeyChanges = {
  readonly keys: readonly ApiKey[];
  /** Time of the newest change, by the database's clock; null: there never was a key. */
  readonly newest: Date | null;
  /** APIs of the fleet that are alive: each has its share of a limit. */
  readonly apis: number;
};

/** Keys that were changed after `since`, or shortly before (a transaction may take a while); null: all. */
export type ReadKeys = (since: Date | null) => Promise<KeyChanges>;
export type MarkUsed = (keyIds: readonly string[]) => Promise<void>;
