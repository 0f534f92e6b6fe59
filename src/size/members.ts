import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { StartError } from '../runtime/start-error.ts';
import { compileCache, leanWorker } from '../start/lean-start.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

/** The processes of a measurement. */
export type Members = {
  /** Resolves when it is ready. @throws {StartError} if it exits first. */
  start(
    role: 'api' | 'worker',
    settings: Readonly<Record<string, string>>,
  ): Promise<{ readonly child: ChildProcess; readonly url: string }>;
  /** Sends SIGTERM and waits until they have exited; default: all members. */
  stop(members?: readonly ChildProcess[]): Promise<void>;
  /** @throws {StartError} if a member has exited without being stopped. */
  assertAlive(): void;
};

/** @param env  what every member gets in addition to its own settings. */
export function createMembers(env: Readonly<Record<string, string>>): Members {
  const running = new Set<ChildProcess>();
  return {
    async start(role, settings) {
      const child = spawn(process.execPath, [main, role], {
        // As a fleet starts them, because their memory is part of the advice.
        env: { ...compileCache, ...(role === 'worker' && leanWorker), ...process.env, ...env, ...settings },
        // stdout is for the report. The channel is a leash: a member that loses us drains on its own.
        stdio: ['ignore', 2, 'inherit', 'ipc'],
        detached: true,
      });
      const ready = new Promise<unknown>((resolve) => child.once('message', resolve));
      const ended = new Promise<string>((resolve) =>
        child.once('exit', (code, signal) => resolve(signal ?? String(code))),
      );
      const first = await Promise.race([ready, ended]);
      if (typeof first === 'string')
        throw new StartError(`the ${role} of the measurement exited (${first}): the lines above say why`);
      running.add(child);
      return { child, url: String((first as { url?: unknown }).url) };
    },
    async stop(members = [...running]) {
      await Promise.all(
        members.map(async (child) => {
          running.delete(child);
          if (hasEnded(child)) return;
          const ended = new Promise((resolve) => child.once('exit', resolve));
          child.kill('SIGTERM');
          await ended;
        }),
      );
    },
    assertAlive() {
      for (const child of running) {
        if (!hasEnded(child)) continue;
        throw new StartError(
          `a process of the measurement exited (${child.signalCode ?? child.exitCode}): the lines above say why`,
        );
      }
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
