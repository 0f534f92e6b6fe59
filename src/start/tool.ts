import { type DeadLetters, openDeadLetters } from '../broker/index.ts';
import { type Config, maskUrl } from '../config.ts';
import { PipelineError } from '../event/fault.ts';
import { createLogger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';
import { needsMigration, type Store } from '../store/index.ts';
import { openDatabase, schemaIsOld } from './database.ts';
import { statementDeadlineMs } from './limits.ts';

/** Shared by the operator's commands: they try the servers once without waiting for them, and log nothing. */

export const quiet = createLogger({ role: 'tool', level: 'silent', format: 'json' });

export async function openToolStore(config: Config, { anySchema = false } = {}): Promise<Store> {
  const store = await openDatabase(
    { ...config, startDeadlineMs: 0, databasePoolSize: 2 },
    quiet,
    new AbortController().signal,
  );
  if (anySchema || !(await needsMigration(store, statementDeadlineMs))) return store;
  await store.close();
  throw schemaIsOld();
}

/** @throws {StartError} that says what to do. */
export async function openToolLetters(config: Config): Promise<DeadLetters> {
  return openDeadLetters({
    url: config.rabbitmqUrl,
    queueName: config.queueName,
    name: `afterword tool ${process.pid}`,
  }).catch((error: unknown) => {
    throw brokerAway(config, error);
  });
}

export function brokerAway(config: Config, error: unknown): unknown {
  if (error instanceof PipelineError) return error;
  const { code } = error as { code?: unknown };
  return new StartError(
    `cannot use the broker ${maskUrl(config.rabbitmqUrl)} (${String(code ?? (error as Error).message)})\n` +
      'Is it running, and are host, port, user, password and virtual host in RABBITMQ_URL right?',
    { cause: error, mayPass: true },
  );
}
