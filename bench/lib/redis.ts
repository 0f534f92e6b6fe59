import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../scripts/servers/index.ts';
import { startProgram } from './process.ts';

const run = promisify(execFile);

export type Fsync = 'always' | 'everysec';
export type Redis = { readonly port: number } & AsyncDisposable;

/** Whether the program is available, after trying to install it with the system's package manager if it is not. */
export async function have(program: string, test: readonly string[], packages: readonly string[]): Promise<boolean> {
  const works = () =>
    run(program, [...test]).then(
      () => true,
      () => false,
    );
  if (await works()) return true;
  if (process.getuid?.() !== 0) return false;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  process.stderr.write(`· installing ${packages.join(', ')} with apt-get\n`);
  await run('apt-get', ['update', '-qq'], { env }).catch(() => {});
  await run('apt-get', ['install', '-qq', '-y', '--no-install-recommends', ...packages], { env, maxBuffer: 1e8 }).catch(
    () => {},
  );
  return works();
}

/** A private Redis with an append-only file, which is what makes a queue in it durable. */
export async function startRedis(fsync: Fsync): Promise<Redis> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-redis-'));
  const port = await freePort(0);
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'yes',
    '--appendfsync',
    fsync,
  ];
  const server = await startProgram('redis-server', [...args, '--maxmemory-policy', 'noeviction'], {}, async () => {
    while (
      !(await run('redis-cli', ['-p', String(port), 'ping']).then(
        ({ stdout }) => stdout.startsWith('PONG'),
        () => false,
      ))
    )
      await delay(50);
    return '';
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
