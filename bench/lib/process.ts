import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A process that is measured. */
export type Process = { readonly url: string; readonly pid: number; stop(): Promise<unknown> };

const benchFolder = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url));

/** Starts a file of the bench folder as Node runs it; resolves when it says `{ ready: true, url? }`. */
export async function startProcess(file: string, args: readonly string[], env: Record<string, string>): Promise<Process> {
  const child = spawn(process.execPath, [benchFolder(file), ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ready = new Promise<{ url?: string }>((resolve) => child.once('message', (message) => resolve(message as { url?: string })));
  return handle(child, file, ready);
}

/** Starts another program in the bench folder; `ready` resolves with its URL, or '' if it has none. */
export async function startProgram(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  ready: (child: ChildProcess) => Promise<string>,
): Promise<Process> {
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], PYTHONDONTWRITEBYTECODE: '1', ...env },
    cwd: benchFolder('peers'),
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its children go with it.
    detached: true,
  });
  return handle(
    child,
    command,
    ready(child).then((url) => ({ url })),
  );
}

async function handle(child: ChildProcess, name: string, ready: Promise<{ url?: string }>): Promise<Process> {
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const first = await Promise.race([ready, ended]);
  if (typeof first !== 'object' || first === null) throw new Error(`${name} ended with ${first} before it was ready`);
  const pid = child.pid ?? 0;
  return {
    url: first.url ?? '',
    pid,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    },
  };
}
