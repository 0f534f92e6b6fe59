import { execFile } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { probes } from './probe.ts';
import { findProgram, freePort, type Leashed, startLeashed, untilAnswers } from './process.ts';
import type { Redis, RedisArgs } from './server.ts';

const run = promisify(execFile);

/** What a Redis with messages that nobody else has must be like: a log on disk, and nothing is evicted. */
export const durable = [
  '--appendonly',
  'yes',
  '--appendfsync',
  'everysec',
  '--maxmemory-policy',
  'noeviction',
] as const;

export async function findRedisProgram(): Promise<string | null> {
  return (await findProgram('redis-server')) ?? findProgram('valkey-server');
}

/** A private Redis or Valkey: its data in `folder`, on loopback only, on its own port. */
export async function startPrivateRedis(folder: string, password: string, more: RedisArgs): Promise<Redis> {
  const program = await findRedisProgram();
  if (program === null) throw new Error('neither redis-server nor valkey-server is installed');
  const data = join(folder, 'data');
  const logPath = join(folder, 'server.log');
  const portPath = join(folder, 'port');
  await mkdir(data, { recursive: true });
  const port = await freePort(Number(await readFile(portPath, 'utf8').catch(() => '0')));
  await writeFile(portPath, String(port));
  const config = join(folder, 'redis.conf');
  await writeFile(config, `requirepass ${password}\n`, { mode: 0o600 });
  const url = `redis://:${password}@127.0.0.1:${port}`;
  let server: Leashed;

  async function start(): Promise<void> {
    const args = [
      config,
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--dir',
      data,
      '--save',
      '',
      ...durable,
      ...more('127.0.0.1', port),
    ];
    server = startLeashed(program as string, args, { env: process.env, logFd: openSync(logPath, 'a') });
    await untilAnswers(() => probes.redis(url), { what: 'the private Redis', withinMs: 60_000, server, logPath });
  }

  await start();
  return {
    url,
    start,
    stop: () => server.terminate(),
    kill: () => server.kill(),
    dispose: () => server.terminate(),
    async wipe() {
      await server.kill();
      await rm(data, { recursive: true, force: true });
      await mkdir(data);
      await start();
    },
    async cli(...args) {
      const env = { ...process.env, REDISCLI_AUTH: password };
      return (await run(program.replace(/-server$/, '-cli'), ['-p', String(port), ...args], { env })).stdout;
    },
  };
}
