/**
 * What the cores allow: the CPU-burning scorer in one thread per core, with nothing around it. Reports how many it
 * scored per second.
 */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { burn } from '../../docs/examples/burn-scorer.ts';

const burnMs = Number(process.env['BURN_MS'] ?? 0);

if (isMainThread) {
  const seconds = Number(process.argv[2] ?? 3);
  const threads = Array.from({ length: availableParallelism() }, () => new Worker(new URL(import.meta.url)));
  const next = (thread: Worker) => new Promise<number>((resolve) => thread.once('message', resolve));
  await Promise.all(threads.map(next)); // until each is ready
  const counts = threads.map(next);
  for (const thread of threads) thread.postMessage(seconds * 1_000);
  const done = (await Promise.all(counts)).reduce((sum, n) => sum + n, 0);
  process.send?.({ ready: true, url: String(done / seconds) });
  for (const thread of threads) await thread.terminate();
  process.disconnect?.();
} else {
  burn(burnMs);
  parentPort?.postMessage(0);
  parentPort?.once('message', (ms: number) => {
    let n = 0;
    for (const until = performance.now() + ms; performance.now() < until; n++) burn(burnMs);
    parentPort?.postMessage(n);
  });
}
