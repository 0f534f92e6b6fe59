import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const leash = fileURLToPath(new URL('./leash.sh', import.meta.url));

/** A process on a leash: it ends when we end, even if by SIGKILL. Its output goes to `logFd`. */
export type Leashed = {
  readonly ended: Promise<void>;
  terminate(): Promise<void>;
  kill(): Promise<void>;
  readonly running: boolean;
};

export function startLeashed(
  command: string,
  args: readonly string[],
  options: { env: NodeJS.ProcessEnv; logFd: number },
): Leashed {
  const child: ChildProcess = spawn('/bin/sh', [leash, command, ...args], {
    env: options.env,
    stdio: ['ignore', options.logFd, options.logFd, 'pipe'],
    // A terminal's Ctrl-C must not reach the server: it is stopped after the processes that use it.
    detached: true,
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  // The pipe of the leash must not keep us alive.
  child.unref();
  (child.stdio[3] as { unref?: () => void } | null)?.unref?.();
  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // already gone
    }
  };
  return {
    ended,
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    async terminate() {
      child.ref(); // we now wait for it
      child.kill('SIGTERM');
      const late = delay(15_000, 'late', { ref: false });
      if ((await Promise.race([ended, late])) === 'late') signalGroup('SIGKILL');
      await ended;
    },
    async kill() {
      child.ref();
      signalGroup('SIGKILL');
      await ended;
    },
  };
}

/** Finds a program in PATH or in the folders where packages install servers. */
export async function findProgram(name: string, folders: readonly string[] = []): Promise<string | null> {
  for (const folder of [
    ...folders,
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/bin',
  ]) {
    const path = join(folder, name);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return null;
}

/** A free loopback port: `preferred` if possible, else any. */
export async function freePort(preferred = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => (preferred === 0 ? reject(error) : resolve(freePort())));
    probe.listen({ port: preferred, host: '127.0.0.1' }, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : preferred));
    });
  });
}

/** Repeats `probe` until it succeeds. @throws with the end of the log, after `withinMs` or once `server` has ended. */
export async function untilAnswers(
  probe: () => Promise<unknown>,
  options: { what: string; withinMs: number; server: Leashed; logPath: string },
): Promise<void> {
  const until = performance.now() + options.withinMs;
  for (;;) {
    try {
      await probe();
      return;
    } catch (cause) {
      if (options.server.running && performance.now() < until) {
        await delay(100);
        continue;
      }
      const log = await readFile(options.logPath, 'utf8').catch(() => '');
      const end = log.trim().split('\n').slice(-15).join('\n');
      throw new Error(`${options.what} did not start; the end of ${options.logPath}:\n${end}`, { cause });
    }
  }
}
