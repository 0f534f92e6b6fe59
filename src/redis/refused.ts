import type { Refusal } from '../sessions/ports.ts';

/** A refusal as scripts return it; the number is milliseconds. */
export type Refused = Exclude<Refusal, object> | readonly ['limited', 'session' | 'user', number];

export function toRefusal(refused: Refused): Refusal {
  return typeof refused === 'string' ? refused : { whose: refused[1], limitedForMs: Math.max(0, refused[2]) };
}
