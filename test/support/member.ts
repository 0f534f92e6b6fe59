import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compileCache } from '../../src/start/lean-start.ts';

const ownMain = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A real process of the fleet. */
export type Member = {
  /** The base URL, if it is an API. */
  readonly url: string;
  readonly pid: number;
  /** Everything it printed. */
  readonly lines: readonly string[];
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM and waits for the end. */
  stop(): Promise<number | NodeJS.Signals>;
};

/**
 * Starts `afterword <role>` and waits until it says that it is ready; if it ends first, rejects with its output unless
 * it `mayDie`.
 * @param options.main  the program, if it is not this checkout's. @param options.args  after the role.
 * @param options.waitsForReady  false for a command, which says nothing.
 */
export async function startMember(
  role: string,
  env: Record<string, string>,
  { mayDie = false, main = ownMain, args = [] as readonly string[], waitsForReady = true } = {},
): Promise<Member> {
  const { child, lines, ended } = run(main, [role, ...args], env);
  const ready = new Promise<{ url?: string }>((resolve) =>
    child.on('message', (message) => resolve(message as { url?: string })),
  );
  const first = waitsForReady ? await Promise.race([ready, ended]) : {};
  if (typeof first !== 'object' && !mayDie) throw new Error(`${role} ended with ${first}:\n${lines.join('\n')}`);
  return {
    url: typeof first === 'object' ? (first.url ?? '') : '',
    pid: child.pid ?? 0,
    lines,
    ended,
    signal: (signal) => child.kill(signal),
    async stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** Runs a command to its end. */
export async function runCommand(
  args: string[],
  env: Record<string, string>,
  { main = ownMain } = {},
): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const { lines, ended } = run(main, args, env);
  const code = await ended;
  return { code, output: lines.join('\n') };
}

function run(
  main: string,
  args: string[],
  env: Record<string, string>,
): { child: ChildProcess; lines: string[]; ended: Promise<number | NodeJS.Signals> } {
  const child = spawn(process.execPath, [main, ...args], {
    // Hundreds of processes are started: they share a compile cache, as in a fleet.
    env: { PATH: process.env['PATH'], ...compileCache, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    if (stream) createInterface({ input: stream }).on('line', (line) => lines.push(line));
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? -1)),
  );
  return { child, lines, ended };
}
