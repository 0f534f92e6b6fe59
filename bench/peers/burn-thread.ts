import { burn } from '../../docs/examples/burn-scorer.ts';

/** What peers run in their threads: uses as much CPU as BURN_MS says, and returns one point. */
export default function score(): number {
  burn(Number(process.env['BURN_MS'] ?? 0));
  return 1;
}
