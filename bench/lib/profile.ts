import { readFile } from 'node:fs/promises';

type Node = {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
};
type CpuProfile = {
  readonly nodes: readonly Node[];
  /** Microseconds of the monotonic clock, the same in every process. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

/** Microseconds of the monotonic clock. */
export type Window = { readonly from: number; readonly to: number };

export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

/** Microseconds of CPU by where they were spent. */
export type Spent = ReadonlyMap<string, number>;

/** The last two: a scoring thread waiting for work, which a profile counts as self time. */
const notCpu = new Set(['(idle)', '(program)', '(root)', 'atomicsWaitLoop', 'wait']);

/**
 * Reads a profile of `node --cpu-prof`, only the part within the window: loading and compiling belong to no event.
 *
 * `byStage`: time by the folder of `src/` nearest on the stack, or by the package or Node module at its bottom if no
 * code of ours is on it. `byFunction`: self time.
 */
export async function readProfile(
  file: string,
  window: Window,
): Promise<{ readonly byStage: Spent; readonly byFunction: Spent }> {
  const profile = JSON.parse(await readFile(file, 'utf8')) as CpuProfile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)),
  );
  const stageOf = new Map<number, string>();
  const byStage = new Map<string, number>();
  const byFunction = new Map<string, number>();
  let at = profile.startTime;
  for (const [i, id] of profile.samples.entries()) {
    const node = nodes.get(id);
    const us = profile.timeDeltas[i] ?? 0;
    at += us;
    if (at < window.from || at > window.to) continue;
    if (node === undefined || notCpu.has(node.callFrame.functionName)) continue;
    const stage = stageOf.get(id) ?? findStage(id);
    stageOf.set(id, stage);
    byStage.set(stage, (byStage.get(stage) ?? 0) + us);
    const name = `${node.callFrame.functionName || '(anonymous)'} ${place(node.callFrame.url)}`;
    byFunction.set(name, (byFunction.get(name) ?? 0) + us);
  }
  return { byStage, byFunction };

  function findStage(id: number): string {
    if (nodes.get(id)?.callFrame.functionName === '(garbage collector)') return 'garbage collection';
    let bottom = 'node';
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const url = nodes.get(at)?.callFrame.url ?? '';
      const ours = /\/src\/([a-z]+)\//.exec(url)?.[1];
      if (ours && !url.includes('/node_modules/')) return ours;
      const named = place(url);
      if (named && !named.startsWith('node:internal')) bottom = named.split('/')[0] ?? bottom;
    }
    return bottom;
  }
}

function place(url: string): string {
  const inPackage = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)(.*)$/.exec(url);
  if (inPackage) return `${inPackage[1]}/${inPackage[2]}`;
  const inSource = /\/(src|bench)\/(.*)$/.exec(url);
  return inSource ? `${inSource[1]}/${inSource[2]}` : url;
}

export function top(spent: Spent, n: number): [string, number][] {
  return [...spent].sort(([, a], [, b]) => b - a).slice(0, n);
}
