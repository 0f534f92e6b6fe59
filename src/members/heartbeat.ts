import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import {
  type JoinFleet,
  lookMs,
  looksPerHeartbeat,
  type Member,
  type ReadAsked,
  type SendHeartbeat,
  type Vitals,
} from './ports.ts';

/** Once a minute it looks at what operators want, even if nobody seems to have asked: older tools count nothing. */
const looksUnasked = 12;
/** A member that ends should not wait for a database that is away. */
const farewellMs = 1_000;

export type Heartbeat = {
  /** A heartbeat now: the state has changed. */
  beat(): Promise<void>;
  /** The last one, as `stopped`. */
  stop(): Promise<void>;
};

/**
 * Shows this process in the fleet's table until `stop`. A database that is away costs heartbeats and nothing else; the
 * next one that gets through brings the row up to date.
 */
export function startHeartbeat(options: {
  readonly member: Member;
  readonly joinFleet: JoinFleet;
  readonly sendHeartbeat: SendHeartbeat;
  readonly vitals: () => Omit<Vitals, 'cpuPercent' | 'rssBytes'>;
  readonly readAsked: ReadAsked;
  /** Does what operators ask. Runs after they have asked something, after joining, and once a minute. */
  readonly obey: () => Promise<void>;
  readonly log: Logger;
}): Heartbeat {
  const { member, log } = options;
  let cpu = process.cpuUsage();
  let since = performance.now();
  /** The row may be there: also when the answer to joining was lost. */
  let mayHaveJoined = false;
  let isStopped = false;
  let running: Promise<void> = Promise.resolve();
  let next: Promise<void> | null = null;
  /** As far as it has been obeyed; null: not yet. */
  let obeyed: number | null = null;
  let looks = 0;

  function measure(): Vitals {
    const { user, system } = process.cpuUsage(cpu);
    const now = performance.now();
    const cpuPercent = Math.round(((user + system) / 10 / Math.max(1, now - since)) * 10) / 10;
    cpu = process.cpuUsage();
    since = now;
    const vitals = { ...options.vitals(), cpuPercent, rssBytes: process.memoryUsage.rss() };
    return isStopped ? { ...vitals, state: 'stopped' } : vitals;
  }

  async function send(): Promise<void> {
    const vitals = measure();
    const asked = mayHaveJoined ? await options.sendHeartbeat(member.memberId, vitals) : null;
    mayHaveJoined = true;
    if (asked === null) await options.joinFleet(member, vitals);
    await follow(asked);
  }

  async function look(): Promise<void> {
    const asked = await options.readAsked(member.memberId);
    // A row that is gone is the next heartbeat's business.
    if (asked !== null) await follow(asked);
  }

  async function follow(asked: number | null): Promise<void> {
    if (isStopped) return;
    if (asked !== null && asked === obeyed && looks % looksUnasked !== 0) return;
    const isNews = obeyed !== null && asked !== null && asked !== obeyed;
    await options.obey();
    obeyed = asked;
    // Whoever asked looks at `ps` next, and should see that it was done.
    if (isNews) void beat();
  }

  /** After the one that is under way. While it hangs, at most one waits: what it says is measured when it begins. */
  function beat(): Promise<void> {
    next ??= running.then(() => {
      next = null;
      running = quietly(send);
      return running;
    });
    return next;
  }

  /** Between two heartbeats, if none is under way. */
  function lookBetween(): void {
    if (next === null) running = running.then(() => quietly(look));
  }

  async function quietly(work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => log.debug({ err: error }, 'no heartbeat'));
  }

  void beat();
  const timer = setInterval(() => {
    looks++;
    if (looks % looksPerHeartbeat === 0) void beat();
    else lookBetween();
  }, lookMs);
  timer.unref();
  return {
    beat,
    async stop() {
      clearInterval(timer);
      isStopped = true;
      await settlesWithin(beat(), farewellMs);
    },
  };
}
