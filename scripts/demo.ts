import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import dotenv from 'dotenv';
import { runSend } from '../src/commands/send.ts';
import { exitCodes } from '../src/runtime/exit-codes.ts';
import { root, startLocal, stopOnSignal } from './local.ts';
import { explain, say } from './people.ts';

dotenv.config({ quiet: true });
const samples = join(root, 'scripts/samples/conversations.ndjson');
const stop = stopOnSignal();

try {
  const local = await startLocal({ env: { ...process.env, LOG_LEVEL: 'warn' }, say, stop });
  let code: number = exitCodes.failed;
  try {
    const count = (await readFile(samples, 'utf8')).trim().split('\n').length;
    say(`sending ${count} sample conversations to ${local.url} and waiting until all are scored`);
    code = await runSend(samples, {
      ...{ url: local.url, concurrency: 100, batch: false },
      ...{ wait: true, timeout: 120, json: false },
    });
  } finally {
    say('stopping everything');
    await local.stop();
  }
  say(code === exitCodes.ok ? 'every conversation was processed' : 'not every conversation was processed');
  process.exit(code);
} catch (error) {
  process.exit(stop.aborted ? exitCodes.ok : explain('scripts/demo', error));
}
