import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { type Proof, prove } from '../support/proof.ts';
import { startTraffic } from '../support/traffic.ts';
import type { Fault } from './catalogue/index.ts';

type Struck = { readonly fault: string; readonly proof: Proof; readonly repeats: number; readonly seconds: number };

/** Each fault on its own, against one fleet that lives through all of them, while real conversations come in. */
export function proveEach(faults: readonly Fault[], env: () => Record<string, string> = () => ({})): void {
  let fleet: Fleet;
  const proofs: Struck[] = [];

  beforeAll(async () => {
    fleet = await startFleet({ workers: 2, env: env() });
  });
  afterAll(async () => {
    const { codes, connections, leaked } = await fleet.stop();
    printMatrix(proofs);
    expect(codes).toEqual([0, 0, 0]);
    expect(connections).toEqual([]);
    expect(leaked).toEqual([]);
  });

  test.each(faults.map((fault, i) => [fault.name, fault, `m${i}`] as const))('%s', async (_name, fault, stream) => {
    const began = performance.now();
    const failing = new Set<string>();
    const traffic = startTraffic({ url: fleet.url, stream, rate: 40, users: 6 });
    await traffic.more(30);
    // These two have no supervisor; they are told to stop in the middle of the fault.
    const [api, worker] = await Promise.all([fleet.start('api'), fleet.start('worker', {}, { mayDie: true })]);
    const whileBroken = async () => {
      const codes = await Promise.all([api.stop(), worker.stop()]);
      // A poison event may have killed the worker already.
      expect(codes).toEqual([
        0,
        expect.toSatisfy((code) => code === 0 || (code === 'SIGKILL' && stream === poisonous)),
      ]);
    };
    const poisonous = faults.findIndex((f) => f.name.includes('poison')) === Number(stream.slice(1)) ? stream : '';

    try {
      await fault.strike({ fleet, traffic, stream, users: `${stream}\\_user%`, whileBroken, failing, longMs: 3_000 });
      await traffic.more(20);
    } finally {
      await traffic.stop();
      await Promise.all([api.stop(), worker.stop()]);
    }

    const proof = await prove(fleet, traffic, stream, { failing });
    proofs.push({ fault: fault.name, proof, repeats: traffic.repeats, seconds: (performance.now() - began) / 1_000 });
    expect(traffic.contradicted).toEqual([]);
    expect(traffic.strange).toEqual([]);
    expect(proof).toMatchObject({
      failed: failing.size,
      lost: [],
      wrongSums: [],
      wronglyEnded: [],
      withoutLetter: [],
      wrongReplays: [],
      violations: [],
    });
  });
}

function printMatrix(proofs: readonly Struck[]): void {
  const lines = proofs.map(({ fault, proof, repeats, seconds }) =>
    [
      fault,
      proof.accepted,
      proof.processed,
      proof.failed,
      repeats,
      proof.lost.length,
      proof.wrongSums.length,
      seconds.toFixed(1),
    ].join(' | '),
  );
  process.stdout.write(
    [
      '',
      '| fault | accepted | processed | failed | repeats | lost | double | s |',
      '|---|--:|--:|--:|--:|--:|--:|--:|',
      ...lines.map((line) => `| ${line} |`),
      '',
    ].join('\n'),
  );
}
