/** The scorers that contenders are measured with, and how processes are configured to use them. */
import { fileURLToPath } from 'node:url';
import { countBlocks } from '../../docs/examples/burn-scorer.ts';
import type { Workload } from './contender.ts';

export const scorers = {
  'no-op': fileURLToPath(new URL('../scorers/no-op.ts', import.meta.url)),
  wait: fileURLToPath(new URL('../scorers/wait.ts', import.meta.url)),
  burn: fileURLToPath(new URL('../../docs/examples/burn-scorer.ts', import.meta.url)),
} as const;

const blocksPerMs = String(countBlocks(500));

/** The same work in every process. */
export function burnEnv(burnMs: number): Record<string, string> {
  return { BURN_MS: String(burnMs), BURN_BLOCKS_PER_MS: blocksPerMs };
}

export function scorerEnv({ burnMs, waitMs }: Workload): Record<string, string> {
  if (waitMs !== undefined) return { SCORER_MODULE: scorers.wait, WAIT_MS: String(waitMs), ...burnEnv(burnMs ?? 0) };
  return burnMs === undefined ? {} : { SCORER_MODULE: scorers.burn, ...burnEnv(burnMs) };
}
