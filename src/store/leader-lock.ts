import type { RowDataPacket } from 'mysql2';
import type { AsLeader } from '../maintenance/ports.ts';
import { settlesWithin } from '../runtime/wait.ts';
import type { Store } from './open-store.ts';

/** One per database. GET_LOCK names are limited to 64 characters. */
const nameOf = (work: string) => `CONCAT('afterword_${work}_', LEFT(SHA2(DATABASE(), 256), 32))`;
/**
 * The server ends a session that is silent for a minute, and frees its lock: a leader that has not heard from it for
 * less than that is one no more.
 */
const checkMs = 10_000;
const answerMs = 10_000;
const endMs = 1_000;

/** A lock of the database, held by one connection: whoever loses the connection has lost it. */
export function leaderLock(store: Store, of: 'leader' | 'rescore' = 'leader'): AsLeader {
  const lockName = nameOf(of);
  return async (work, { stop, waitSeconds }) => {
    const connection = (await store.apart()).promise();
    const lost = new AbortController();
    const ask = async (sql: string, values: unknown[] = []) => {
      const [rows] = await connection.query<RowDataPacket[]>(sql, values);
      return Number(rows[0]?.['answer']);
    };
    const lose = () => {
      lost.abort(new Error('the database lock of this process is lost'));
    };
    const check = async () => {
      const asked = ask(`SELECT IS_USED_LOCK(${lockName}) = CONNECTION_ID() AS answer`);
      const isHeld = await settlesWithin(asked, answerMs).then(
        async (inTime) => inTime && (await asked) === 1,
        () => false,
      );
      if (!isHeld) lose();
    };
    let timer: NodeJS.Timeout | undefined;
    try {
      if ((await ask(`SELECT GET_LOCK(${lockName}, ?) AS answer`, [waitSeconds])) !== 1) return null;
      timer = setInterval(check, checkMs);
      return { value: await work(AbortSignal.any([stop, lost.signal])) };
    } finally {
      clearInterval(timer);
      // With the connection, the lock goes.
      await settlesWithin(
        connection.end().catch(() => {}),
        endMs,
      );
      connection.destroy();
    }
  };
}
