import { type Process, startProcess } from '../lib/process.ts';
import type { Workload } from './contender.ts';
import { burnEnv } from './scorers.ts';

/** Workers of a peer written for Node. */
export function startNodeWorkers(
  file: string,
  env: Record<string, string>,
  { workers, concurrency, burnMs = 0, waitMs = 0 }: Workload,
): Promise<Process[]> {
  const settings = { ...env, CONCURRENCY: String(concurrency), WAIT_MS: String(waitMs), ...burnEnv(burnMs) };
  return Promise.all(Array.from({ length: workers }, () => startProcess(file, ['worker'], settings)));
}
