import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

/** What a command loads when it starts, of the packages that are large. */
async function packagesOf(command: string): Promise<string[]> {
  const program = `
    const loaded = new Set();
    const load = (url, context, next) => {
      loaded.add(/node_modules.(express|typeorm|mysql2|amqplib|ioredis|@opentelemetry.sdk-trace)/.exec(url)?.[1]);
      return next(url, context);
    };
    (await import('node:module')).registerHooks({ load });
    await import(${JSON.stringify(new URL(`../../../src/commands/${command}.ts`, import.meta.url).href)});
    console.log(JSON.stringify([...loaded].filter(Boolean).sort()));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program]);
  return JSON.parse(stdout) as string[];
}

test('a worker loads no HTTP framework, neither process an ORM, Redis or what makes traces', async () => {
  expect(await packagesOf('worker')).toEqual(['amqplib', 'mysql2']);
  expect(await packagesOf('api')).toEqual(['amqplib', 'express', 'mysql2']);
});
