import { unitsPerPoint } from '../event/friendship.ts';
import type { Score } from './scorer.ts';

const largestChange = 1e9;
/** Bounded because a settling transaction writes the details of up to a hundred events. */
export const maxDetailsBytes = 64 * 1_024;

type CheckedScore = { readonly change: number; readonly totalTurns: number; readonly detailsJson: string };
/** What is wrong with an answer, in words that never quote text from it. */
type Unusable = { readonly problem: string };

/**
 * Checks a scorer's answer and converts it to the form in which it is stored.
 * @param scorer  `name@version`, which becomes part of the details.
 */
export function checkScore(answer: unknown, scorer: string): CheckedScore | Unusable {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    return { problem: `answered ${kindOf(answer)} and not { change, totalTurns?, details }` };
  }
  const { change, totalTurns = 0, details = {} } = answer as Partial<Record<keyof Score, unknown>>;
  if (typeof change !== 'number') return { problem: `change is ${kindOf(change)}; it must be a number` };
  if (!Number.isFinite(change)) return { problem: `change is ${change}; it must be finite` };
  if (Math.abs(change) > largestChange) return { problem: `change is ${change}; it must be within ±${largestChange}` };
  if (typeof totalTurns !== 'number') return { problem: `totalTurns is ${kindOf(totalTurns)}; it must be a number` };
  if (!Number.isSafeInteger(totalTurns) || totalTurns < 0)
    return { problem: `totalTurns is ${totalTurns}; it must be a whole number of at least 0` };
  if (typeof details !== 'object' || details === null || Array.isArray(details)) {
    return { problem: `details is ${kindOf(details)}; it must be an object` };
  }
  const detailsJson = jsonOf({ ...details, scorer });
  if (detailsJson === null)
    return {
      problem: 'details hold what JSON cannot (a BigInt, a circle, or a toJSON that throws or answers nothing)',
    };
  const bytes = Buffer.byteLength(detailsJson);
  if (bytes > maxDetailsBytes)
    return { problem: `details are ${bytes} bytes of JSON; at most ${maxDetailsBytes} are stored` };
  return { change: Math.round(change * unitsPerPoint) / unitsPerPoint, totalTurns, detailsJson };
}

function jsonOf(value: object): string | null {
  try {
    // A toJSON may return undefined, whatever the types say.
    return (JSON.stringify(value) as string | undefined) ?? null;
  } catch {
    return null;
  }
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
