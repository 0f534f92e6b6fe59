import type { ChildProcess } from 'node:child_process';
import { exitCodes } from '../runtime/exit-codes.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted } from '../runtime/shutdown.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';

/** A member that ran this long before it died is restarted with the shortest delay. */
const stableMs = 30_000;
/** How long a restart may take before it is said. */
const patienceMs = 60_000;
/** After the drain, to close. */
const closeMs = 10_000;

/** A place in the fleet, filled again when its process dies. */
export type Supervised = {
  readonly name: string;
  /** Of its process; null while there is none. */
  readonly pid: number | null;
  /** Resolves when the fleet has stopped and its process with it. */
  readonly ended: Promise<void>;
  /** Drains its process and resolves when the next one is ready, or the fleet stops. */
  restart(): Promise<void>;
};

/** Keeps a process running until `until` fires, and then drains it. */
export function supervise(
  name: string,
  options: {
    /** @param onReady  to be called when it is. */
    readonly start: (onReady: (message: { url?: string }) => void) => ChildProcess;
    readonly drainMs: number;
    readonly until: AbortSignal;
    readonly onReady: (message: { url?: string }) => void;
    /** Whether the fleet ends if this one cannot start as it is configured. */
    readonly mayGiveUp: () => boolean;
    /** It cannot. */
    readonly onHopeless: () => void;
    readonly log: Logger;
  },
): Supervised {
  const { log, until } = options;
  let wish = Promise.withResolvers<void>();
  /** Those who wait for a restart: for one that has not begun, and for the process that is starting. */
  let asked: PromiseWithResolvers<void> | null = null;
  let starting: PromiseWithResolvers<void> | null = null;
  let pid: number | null = null;

  async function run(): Promise<void> {
    const backoff = createBackoff(500, 30_000);
    let wasReady = false;
    while (!until.aborted) {
      const startedAt = performance.now();
      // It may have died by itself meanwhile: the process that begins now is the one that was asked for.
      if (asked !== null) {
        // One that was being started for an earlier restart is gone: whoever waits for it waits for this one.
        if (starting !== null) void asked.promise.then(starting.resolve);
        starting = asked;
        asked = null;
        wish = Promise.withResolvers();
      }
      const mine = starting;
      const child = options.start((message) => {
        wasReady = true;
        mine?.resolve();
        if (starting === mine) starting = null;
        options.onReady(message);
      });
      pid = child.pid ?? null;
      const ended = new Promise<string>((resolve) => {
        child.once('exit', (code, signal) => resolve(signal ?? String(code)));
        child.once('error', (error) => resolve(String(error)));
      });
      const how = await Promise.race([ended, aborted(until), wish.promise]);
      if (how === undefined) {
        await drain(child, ended);
        continue;
      }
      if (until.aborted) return;
      // A member that was ready once is configured well enough: something in its environment has changed, such as a
      // password, and may change back.
      if (how === String(exitCodes.config) && !wasReady && options.mayGiveUp()) {
        log.error({ member: name }, 'cannot start as configured; stopping the fleet');
        return options.onHopeless();
      }
      if (performance.now() - startedAt > stableMs) backoff.reset();
      const waitMs = backoff.next();
      log.error({ member: name, exit: how, waitMs }, 'member died; restarting');
      await pause(waitMs, until);
    }
  }

  /** A member that is still running some time after its drain is killed. */
  async function drain(child: ChildProcess, ended: Promise<string>): Promise<void> {
    child.kill('SIGTERM');
    if (await settlesWithin(ended, options.drainMs + closeMs)) return;
    log.warn({ member: name }, 'did not stop in time; killing it');
    child.kill('SIGKILL');
    await ended;
  }

  return {
    name,
    get pid() {
      return pid;
    },
    ended: run(),
    async restart() {
      asked ??= Promise.withResolvers();
      const { promise } = asked;
      wish.resolve();
      while (!(await settlesWithin(Promise.race([promise, aborted(until)]), patienceMs)))
        log.warn({ member: name }, 'is not ready again yet; the others wait for it');
    },
  };
}
