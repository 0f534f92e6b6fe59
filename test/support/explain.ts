import mysql from 'mysql2';
import type { Pool } from 'mysql2/promise';
import type { Store } from '../../src/store/index.ts';
import { rows } from './client.ts';

export type PlanStep = {
  readonly table: string;
  readonly type: string;
  readonly key: string | null;
  readonly Extra: string | null;
};

/** What `act` really said to the database, as text or prepared: reads and updates, with their values put in. */
export async function recordStatements(store: Store, act: (store: Store) => Promise<unknown>): Promise<string[]> {
  const statements: string[] = [];
  const note = (sql: string, params: unknown) => {
    // Several may travel in one packet.
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
 * How the server would read each table. Derived tables are a batch's own values; a plan without a table has no matching
 * row.
 */
export async function explain(database: Pool, sql: string): Promise<PlanStep[]> {
  const [row] = await rows<{ v: string }>(database, 'SELECT VERSION() AS v');
  // MySQL 9 answers a plain EXPLAIN in another format, MariaDB does not know the word for this one.
  const format = /mariadb/i.test(row?.v ?? '') ? '' : 'FORMAT=TRADITIONAL';
  const plan = await rows<PlanStep>(database, `EXPLAIN ${format} ${sql}`);
  return plan.filter((step) => step.table !== null && !step.table.startsWith('<') && step.table !== 'v');
}
