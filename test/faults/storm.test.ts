import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { runStorm } from '../support/storm.ts';

/** Faults in random order, with processes killed in the middle of each. bench/soak is the long version. */

const seed = Number(process.env['STORM_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const strikes = 10;

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ workers: 2 });
});
afterAll(async () => {
  const { connections, leaked } = await fleet.stop();
  expect({ connections, leaked }).toEqual({ connections: [], leaked: [] });
});

test(`${strikes} faults in the order of STORM_SEED=${seed}`, { timeout: 600_000 }, async () => {
  const storm = await runStorm(fleet, {
    seed,
    rate: 80,
    users: 20,
    enough: (_traffic, struck) => struck >= strikes,
    longMs: 2_000,
    restMs: 150_000,
    goOn: false,
    say: (line) => process.stdout.write(`· storm ${seed}: ${line}\n`),
  });
  const { proof, traffic } = storm;
  process.stdout.write(
    `· storm ${seed}: ${proof.accepted} accepted, ${proof.processed} processed, ${proof.failed} failed\n`,
  );
  expect(traffic.contradicted).toEqual([]);
  expect(traffic.strange).toEqual([]);
  expect(proof).toMatchObject({
    lost: [],
    wrongSums: [],
    wronglyEnded: [],
    withoutLetter: [],
    wrongReplays: [],
    violations: [],
  });
});
