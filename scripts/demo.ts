import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runSend } from '../src/commands/send.ts';
import { root, startLocal, stopOnSignal } from './local.ts';

const samples = join(root, 'scripts/samples/conversations.ndjson');
const stop = stopOnSignal();
const say = (line: string) => process.stdout.write(`· ${line}\n`);

try {
  const local = await startLocal({ env: { ...process.env, LOG_LEVEL: 'warn' }, say, stop });
  let code = 1;
  try {
    const count = (await readFile(samples, 'utf8')).trim().split('\n').length;
    say(`sending ${count} sample conversations to ${local.url} and waiting until all are scored`);
    code = await runSend(samples, { url: local.url, concurrency: 100, wait: true, timeout: 120, json: false });
  } finally {
    say('stopping everything');
    await local.stop();
  }
  say(code === 0 ? 'every conversation was processed' : 'not every conversation was processed');
  process.exit(code);
} catch (error) {
  process.stderr.write(`scripts/demo: ${(error as Error).message}\n`);
  process.exit(1);
}
