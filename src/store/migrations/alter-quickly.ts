import { setTimeout as delay } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';

type Asks = { query(sql: string): Promise<unknown> };

/** While an ALTER waits for a reader, everything that comes later waits behind it. */
const waitSeconds = 2;
const tries = 30;
const pauseMs = 2_000;
const lockWaitTimeout = 1_205;

/**
 * Runs an ALTER that takes no time, without holding up a fleet that is at work: behind a long reader (a backup, a
 * report) it gives way after two seconds, and tries again for two minutes.
 */
export async function alterQuickly(runner: Asks, sql: string): Promise<void> {
  await runner.query(`SET SESSION lock_wait_timeout = ${waitSeconds}`);
  try {
    for (let n = 1; ; n++) {
      try {
        await runner.query(sql);
        return;
      } catch (error) {
        if (errnoOf(error) !== lockWaitTimeout || n === tries) throw error;
        await delay(pauseMs);
      }
    }
  } finally {
    await runner.query('SET SESSION lock_wait_timeout = DEFAULT');
  }
}

/** A connection of ours classifies errors, and keeps the server's as the cause. */
function errnoOf(error: unknown): unknown {
  const { errno, cause } = error as { errno?: unknown; cause?: { errno?: unknown } };
  return errno ?? cause?.errno;
}

/** MySQL has no ADD COLUMN IF NOT EXISTS: a migration that was interrupted before it was recorded is repeated. */
export async function hasColumn(runner: QueryRunner, table: string, column: string): Promise<boolean> {
  const found = (await runner.query(
    `SELECT 1 FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?`,
    [table, column],
  )) as unknown[];
  return found.length > 0;
}

/** The same for indexes. */
export async function hasIndex(runner: QueryRunner, table: string, index: string): Promise<boolean> {
  const found = (await runner.query(
    `SELECT 1 FROM information_schema.statistics
     WHERE table_schema = DATABASE() AND table_name = ? AND index_name = ?`,
    [table, index],
  )) as unknown[];
  return found.length > 0;
}
