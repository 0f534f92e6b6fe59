import mysql from 'mysql2';
import type { Pool } from 'mysql2/promise';
import type { Store } from '../../src/store/index.ts';
import { rows } from './client.ts';

export type PlanStep = {
  readonly table: string;
  readonly type: string;
  readonly key: string | null;
  /** How many it expects to read. */
  readonly rows: number | string | null;
  readonly Extra: string | null;
};

/** The reads and updates that `act` sent to the database, plain or prepared, with their values filled in. */
export async function recordStatements(store: Store, act: (store: Store) => Promise<unknown>): Promise<string[]> {
  const statements: string[] = [];
  const note = (sql: string, params: unknown) => {
    // One packet may hold several.
    for (const statement of mysql.format(sql, Array.isArray(params) ? params : []).split(';\n')) {
      if (/^\s*(SELECT|UPDATE)/i.test(statement) && /FROM|UPDATE/i.test(statement)) statements.push(statement);
    }
  };
  for (const pool of [store.pool, store.accepts]) {
    pool.on('acquire', (connection) => {
      for (const method of ['query', 'execute'] as const) {
        const send = connection[method].bind(connection) as (...args: unknown[]) => unknown;
        connection[method] = ((sql: string, params: unknown, ...rest: unknown[]) => {
          note(sql, params);
          return send(sql, params, ...rest);
        }) as never;
      }
    });
  }
  await act(store);
  return statements;
}

/**
 * How the server would read each table. Left out: derived tables, which hold a batch's own values, and steps without a
 * table, which mean that no row matches.
 */
export async function explain(database: Pool, sql: string): Promise<PlanStep[]> {
  const [row] = await rows<{ v: string }>(database, 'SELECT VERSION() AS v');
  // MySQL 9 answers a plain EXPLAIN in another format, and MariaDB does not know FORMAT=TRADITIONAL.
  const format = /mariadb/i.test(row?.v ?? '') ? '' : 'FORMAT=TRADITIONAL';
  const plan = await rows<PlanStep>(database, `EXPLAIN ${format} ${sql}`);
  return plan.filter((step) => step.table !== null && !step.table.startsWith('<') && step.table !== 'v');
}
