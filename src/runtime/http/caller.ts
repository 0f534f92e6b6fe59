import type { Response } from 'express';
import { Problem } from './problem.ts';

/** What a key may be used for. */
export const scopes = ['submit', 'read', 'operate', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** Who sends a request. */
export type Caller = {
  /** For records of what operators did. */
  readonly name: string;
  /** `admin` includes the others. */
  may(scope: Scope): boolean;
  /** The users it acts for: one id, or all that begin with `prefix`; null: every user. */
  readonly boundTo: { readonly userId: string } | { readonly prefix: string } | null;
  /** Of an API without keys. */
  readonly isAnybody: boolean;
  /** Whether it would still be let in: asked again during answers that take long. */
  readonly isValid: () => boolean;
  /** Counts further requests against the limit of the key; null: it has none. @throws {Problem} 429 */
  readonly charge: ((requests: number) => Promise<void>) | null;
};

/** There are no keys, or this port asks for none. */
export const anybody: Caller = {
  name: 'anybody (the API is open)',
  may: () => true,
  boundTo: null,
  isAnybody: true,
  isValid: () => true,
  charge: null,
};

const slot = 'caller';

export function setCaller(response: Response, caller: Caller): void {
  response.locals[slot] = caller;
}

export function callerOf(response: Response): Caller {
  return (response.locals[slot] as Caller | undefined) ?? anybody;
}

export function actsFor({ boundTo }: Caller, userId: string): boolean {
  if (boundTo === null) return true;
  return 'userId' in boundTo ? userId === boundTo.userId : userId.startsWith(boundTo.prefix);
}

/** @throws {Problem} 401 if the key was revoked, or has expired, since the answer began. */
export function requireValid(caller: Caller): void {
  if (!caller.isValid()) throw new Problem(401, 'key_revoked', 'this API key is not valid any more');
}

/** @throws {Problem} 403 if the key is bound to others. */
export function requireUser(caller: Caller, userId: string): void {
  if (!actsFor(caller, userId)) throw new Problem(403, 'other_user', 'this key may not act for this user');
}
