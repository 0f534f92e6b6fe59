import mysql from 'mysql2';
import type { Pool } from 'mysql2/promise';
import type { Store } from '../../src/store/index.ts';
import { rows } from './client.ts';

export type PlanStep = { readonly table: string; readonly type: string; readonly key: string | null; readonly Extra: string | null };

/** What `act` really said to the database: reads and updates, with their values put in. */
export async function recordStatements(store: Store, act: (store: Store) => Promise<unknown>): Promise<string[]> {
  const statements: string[] = [];
  store.pool.on('acquire', (connection) => {
    const query = connection.query.bind(connection) as (...args: unknown[]) => unknown;
    connection.query = ((sql: string, params: unknown, ...rest: unknown[]) => {
      // Several may travel in one packet.
      for (const statement of mysql.format(sql, Array.isArray(params) ? params : []).split(';\n')) {
        if (/^\s*(SELECT|UPDATE)/i.test(statement) && /FROM|UPDATE/i.test(statement)) statements.push(statement);
      }
      return query(sql, params, ...rest);
    }) as typeof connection.query;
  });
  await act(store);
  return statements;
}

/** How the server would read each table. Derived tables are a batch's own values; a plan without a table has no matching row. */
export async function explain(database: Pool, sql: string): Promise<PlanStep[]> {
  const [row] = await rows<{ v: string }>(database, 'SELECT VERSION() AS v');
  // MySQL 9 answers a plain EXPLAIN in another format, MariaDB does not know the word for this one.
  const format = /mariadb/i.test(row?.v ?? '') ? '' : 'FORMAT=TRADITIONAL';
  const plan = await rows<PlanStep>(database, `EXPLAIN ${format} ${sql}`);
  return plan.filter((step) => step.table !== null && !step.table.startsWith('<') && step.table !== 'v');
}
