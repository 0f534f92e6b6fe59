/**
 * What is compared: Afterword and its peers, behind the same small interface: an API, workers, a count of what is done.
 */
import type { Pool, RowDataPacket } from 'mysql2/promise';
import type { Process } from '../lib/process.ts';

export type Workload = {
  readonly workers: number;
  readonly concurrency: number;
  readonly burnMs?: number;
  /** Each event also waits this long, as if for an external service. */
  readonly waitMs?: number;
  /** Additional settings for the workers only. */
  readonly env?: Readonly<Record<string, string>>;
};

/** A contender's own database and queue, for one round. */
export type Session = {
  readonly database: Pool;
  readonly queue: string;
  startApi(): Promise<Process>;
  startWorkers(load: Workload): Promise<Process[]>;
  /** How many events are scored and settled. */
  processed(): Promise<number>;
  /** How many events are accepted but not settled. */
  open(): Promise<number>;
  /** When each conversation was processed, by its id; null if the contender does not record it. */
  processedAt(): Promise<ReadonlyMap<string, Date> | null>;
  /** Resolves when `n` accepted events are waiting in the queue. */
  queued(n: number): Promise<void>;
} & AsyncDisposable;

export type Contender = {
  readonly name: string;
  open(env?: Record<string, string>): Promise<Session>;
};

export async function count(database: Pool, table: string, status: string): Promise<number> {
  const [rows] = await database.query<RowDataPacket[]>(
    `SELECT COUNT(*) AS n FROM ${table} WHERE status IN (${status})`,
  );
  return Number(rows[0]?.['n']);
}
