import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compileCache } from '../../src/start/lean-start.ts';

/** A process that is measured. */
export type Process = { readonly url: string; readonly pid: number; stop(): Promise<unknown> };

const benchFolder = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url));

/** Starts a file of the bench folder with Node; resolves when it sends `{ ready: true, url? }`. */
export async function startProcess(
  file: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<Process> {
  const child = spawn(process.execPath, [benchFolder(file), ...args], {
    env: { PATH: process.env['PATH'], ...compileCache, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ready = new Promise<{ url?: string }>((resolve) =>
    child.once('message', (message) => resolve(message as { url?: string })),
  );
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
    // Its children are killed with it.
    detached: true,
  });
  return handle(
    child,
    command,
    ready(child).then((url) => ({ url })),
  );
}

const alive = new Set<ChildProcess>();
// An interrupted run leaves nothing behind that would disturb the next one.
process.once('exit', () => {
  for (const child of alive) signal(child, 'SIGKILL');
});
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1));

/** With its children, if it has a group of its own. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(child.spawnfile === process.execPath ? child.pid : -child.pid, name);
  } catch {
    // It has already ended.
  }
}

async function handle(child: ChildProcess, name: string, ready: Promise<{ url?: string }>): Promise<Process> {
  alive.add(child);
  let stopping = false;
  child.once('exit', (code) => {
    alive.delete(child);
    // A peer that died would look slow.
    if (!stopping && code !== 0) process.stderr.write(`${name} ended with ${code} in the middle of a measurement\n`);
    if (!stopping && code !== 0) process.exit(1);
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const first = await Promise.race([ready, ended]);
  if (typeof first !== 'object' || first === null) throw new Error(`${name} ended with ${first} before it was ready`);
  const pid = child.pid ?? 0;
  return {
    url: first.url ?? '',
    pid,
    async stop() {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => signal(child, 'SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
    },
  };
}
