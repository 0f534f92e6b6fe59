import type { Supervised } from './supervise.ts';

/** The members of the fleet of this machine: its APIs, and workers that come and go. */
export type Crew = {
  /** Workers that there should be; those that are draining are not among them. */
  readonly workers: number;
  readonly workerPids: ReadonlySet<number>;
  /** Whether every member is, or was, ready. */
  readonly isUp: boolean;
  /** Whether that was so once: what comes later was not needed to begin. */
  readonly wasUp: boolean;
  isRunning(name: string): boolean;
  members(): readonly Supervised[];
  /** Starts workers, or drains those that came last. */
  scaleTo(workers: number): void;
  /** Resolves when all have ended: to be awaited once they were told to. */
  ended(): Promise<unknown>;
};

type Post = { readonly member: Supervised; readonly leave: AbortController };

export function createCrew(options: {
  readonly supervise: (name: string, until: AbortSignal, onReady: (message: { url?: string }) => void) => Supervised;
  readonly apis: readonly string[];
  readonly until: AbortSignal;
  /** A member is ready for the first time. @param waiting  how many are not. */
  readonly onReady: (name: string, message: { url?: string }, waiting: number) => void;
}): Crew {
  const posts = new Map<string, Post>();
  /** They drain: until they have ended, their place is taken. */
  const leaving = new Map<string, Promise<void>>();
  const unready = new Set<string>();
  let wasUp = false;
  let wanted = 0;

  function post(name: string): void {
    const leave = new AbortController();
    if (!wasUp) unready.add(name);
    const member = options.supervise(name, AbortSignal.any([options.until, leave.signal]), (message) => {
      if (!unready.delete(name)) return;
      options.onReady(name, message, unready.size);
      wasUp ||= unready.size === 0;
    });
    posts.set(name, { member, leave });
  }

  /** Fills the places up to `wanted`, but for those whose last worker is still draining. */
  function fill(): void {
    for (let i = 1; i <= wanted; i++) {
      const name = `worker-${i}`;
      if (!posts.has(name) && !leaving.has(name) && !options.until.aborted) post(name);
    }
  }

  function dismiss(name: string): void {
    const found = posts.get(name);
    if (found === undefined) return;
    posts.delete(name);
    unready.delete(name);
    const ended = found.member.ended.then(() => {
      leaving.delete(name);
      fill();
    });
    leaving.set(name, ended);
    found.leave.abort('fewer workers are needed');
  }

  const isApi = (name: string) => options.apis.includes(name);
  return {
    get workers() {
      return wanted;
    },
    get workerPids() {
      const pids = [...posts].filter(([name]) => !isApi(name)).map(([, { member }]) => member.pid);
      return new Set(pids.filter((pid) => pid !== null));
    },
    get isUp() {
      return unready.size === 0 && posts.size > 0;
    },
    get wasUp() {
      return wasUp;
    },
    isRunning: (name) => posts.has(name) || leaving.has(name),
    members: () => [...posts.values()].map(({ member }) => member),
    scaleTo(workers) {
      for (const name of options.apis) if (!posts.has(name)) post(name);
      const before = wanted;
      wanted = workers;
      for (let i = before; i > workers; i--) dismiss(`worker-${i}`);
      fill();
    },
    ended: () => Promise.all([...[...posts.values()].map(({ member }) => member.ended), ...leaving.values()]),
  };
}
