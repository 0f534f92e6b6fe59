import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rows } from '../../test/support/client.ts';
import { type Fleet, startFleet } from '../../test/support/fleet.ts';
import { runStorm } from '../../test/support/storm.ts';

const events = Number(process.env['SOAK_EVENTS'] ?? 300_000);
const rate = Number(process.env['SOAK_RATE'] ?? 500);
const seed = Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 1_000_000));
const results = new URL('../results/', import.meta.url);

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ workers: 2, env: { MESSAGE_CONCURRENCY_PER_WORKER: '50' } });
});
afterAll(async () => {
  const { connections, leaked } = await fleet.stop();
  expect({ connections, leaked }).toEqual({ connections: [], leaked: [] });
});

test(`${events} conversations through faults in the order of SOAK_SEED=${seed}`, async () => {
  const { proof, traffic, struck, unseen, hit, seconds } = await runStorm(fleet, {
    seed,
    rate,
    users: 500,
    enough: ({ accepted }) => accepted.size >= events,
    longMs: 60_000,
    restMs: 1_800_000,
    goOn: true,
    say: (line) => process.stdout.write(`${line}\n`),
  });
  const [server] = await rows<{ version: string }>(fleet.space.database, 'SELECT VERSION() AS version');
  const { lost, wrongSums, wronglyEnded, withoutLetter, wrongReplays, violations, ...counts } = proof;
  const report = {
    date: new Date().toISOString(),
    command: `SOAK_EVENTS=${events} SOAK_RATE=${rate} SOAK_SEED=${seed} scripts/soak`,
    machine: {
      cpu: cpus()[0]?.model,
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    },
    database: server?.version,
    minutes: Math.round(seconds / 6) / 10,
    ...counts,
    repeats: traffic.repeats,
    restarts: fleet.api.restarts + fleet.workers.reduce((sum, worker) => sum + worker.restarts, 0),
    hit,
    strikes: [...struck.values()].reduce((sum, n) => sum + n, 0),
    unseen,
    lost: lost.length,
    double: wrongSums.length,
    wronglyEnded: wronglyEnded.length,
    withoutLetter: withoutLetter.length,
    wrongReplays: wrongReplays.length,
    violations: violations.length,
    struck: Object.fromEntries([...struck].sort(([a], [b]) => a.localeCompare(b))),
  };
  await mkdir(results, { recursive: true });
  await writeFile(new URL('soak.json', results), `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  expect(traffic.contradicted).toEqual([]);
  expect(traffic.strange).toEqual([]);
  expect({ lost, wrongSums, wronglyEnded, withoutLetter, wrongReplays, violations }).toEqual({
    lost: [],
    wrongSums: [],
    wronglyEnded: [],
    withoutLetter: [],
    wrongReplays: [],
    violations: [],
  });
});
