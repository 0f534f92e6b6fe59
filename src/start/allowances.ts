import type { Response } from 'express';
import type { Limits } from '../access/index.ts';
import type { Caller } from '../runtime/http/index.ts';

/** Counts a conversation against the limit of its user, and refuses what is beyond it. Null: there is no limit. */
export function userAllowance({ take }: Limits, perMinute: number) {
  if (perMinute === 0) return null;
  return (response: Response, userId: string) => take(response, 'user', userId, perMinute);
}

/** Whether a user, or a key that may have many users, sends too much. Null: nobody is held back. */
export function fairness({ exceeds }: Limits, perMinute: number) {
  if (perMinute === 0) return null;
  return async (userId: string, caller: Caller) => {
    // Both are counted.
    const [user, key] = await Promise.all([
      exceeds('fair-user', userId, perMinute),
      caller.isAnybody ? false : exceeds('fair-key', caller.name, perMinute),
    ]);
    return user || key;
  };
}
