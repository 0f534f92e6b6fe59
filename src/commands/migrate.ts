import type { Config } from '../config.ts';
import { createStop } from '../runtime/shutdown.ts';
import { openDatabase } from '../start/database.ts';
import { processLogger } from '../start/log.ts';
import { migrate } from '../store/index.ts';

/** Brings the schema up to date and ends. Safe to run from several places at once. */
export async function runMigrate(config: Config): Promise<void> {
  const log = processLogger(config, 'migrate');
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openDatabase(config, log, createStop(log).signal), (s) => s.close());
  const ran = await migrate(store);
  log.info({ ran }, ran.length > 0 ? 'schema brought up to date' : 'schema was up to date');
}
