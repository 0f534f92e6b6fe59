import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { JoinFleet, Member, SendHeartbeat, Vitals } from './ports.ts';

/** One small statement per member. A member counts as lost after three that are missing (`lostAfterMs`). */
const heartbeatMs = 5_000;
export const lostAfterMs = 3 * heartbeatMs;
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
  /** Runs after each heartbeat that got through. */
  readonly afterBeat?: () => Promise<void>;
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
    try {
      const vitals = measure();
      const isKnown = mayHaveJoined && (await options.sendHeartbeat(member.memberId, vitals));
      mayHaveJoined = true;
      if (!isKnown) await options.joinFleet(member, vitals);
      if (!isStopped) await options.afterBeat?.();
    } catch (error) {
      log.debug({ err: error }, 'no heartbeat');
    }
  }

  /** After the one that is under way. While it hangs, at most one waits: what it says is measured when it begins. */
  function beat(): Promise<void> {
    next ??= running.then(() => {
      next = null;
      running = send();
      return running;
    });
    return next;
  }

  void beat();
  const timer = setInterval(() => void beat(), heartbeatMs);
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
