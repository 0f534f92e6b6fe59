import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeLock } from '../../../scripts/lock.ts';

let folder: string;
let lock: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'afterword-lock-'));
  lock = join(folder, 'up.pid');
});
afterEach(() => rm(folder, { recursive: true }));

test('one process has it as long as it runs', async () => {
  const lockUrl = new URL('../../../scripts/lock.ts', import.meta.url).href;
  const program =
    `await (await import(${JSON.stringify(lockUrl)})).takeLock(${JSON.stringify(lock)}); ` +
    `console.log('mine'); setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(owner.stdout, 'data');
  await expect(takeLock(lock)).rejects.toThrow(`process ${owner.pid}`);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await takeLock(lock);
  expect(await readFile(lock, 'utf8')).toMatch(new RegExp(`^${process.pid} `));
});

test.each([
  ['a number that another process has by now', '1 4'],
  ['our own number, from an earlier container', `${process.pid} 4`],
  ['a file that was cut off', ''],
])('%s does not hold it', async (_name, content) => {
  await writeFile(lock, content);
  await takeLock(lock);
  expect(await readFile(lock, 'utf8')).toMatch(new RegExp(`^${process.pid} `));
});
