import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { ensureEspeak } from '../../scripts/espeak.ts';
import { findServers } from '../../scripts/servers/index.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseUrl: string;
    rabbitmqUrl: string;
    redisUrl: string;
  }
}

/**
 * One database server, one broker and one Redis for the whole run; every test has its own database and queues on them.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-test-'));
  const say = (line: string) => process.stderr.write(`· ${line}\n`);
  await ensureEspeak(say);
  const { database, broker, redis } = await findServers(['database', 'broker', 'redis'], {
    folder,
    volumes: null,
    say,
  });
  project.provide('databaseUrl', database.server.url);
  project.provide('rabbitmqUrl', broker.server.url);
  project.provide('redisUrl', redis.server.url);
  return async () => {
    await Promise.all([database.server.dispose(), broker.server.dispose(), redis.server.dispose()]);
    await rm(folder, { recursive: true, force: true });
  };
}
