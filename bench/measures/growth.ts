/** Growth must not cost speed: accept and settle with millions of stored events, drain with a backlog of a million. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'amqplib';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { parseConversationRequest } from '../../src/accept/request.ts';
import type { EventId } from '../../src/event/event.ts';
import { encodeMessage } from '../../src/event/message.ts';
import type { Contender, Session } from '../contenders/contender.ts';
import { nextBody } from '../lib/bodies.ts';
import { warmLoad } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import { type Row, rounds, type Subject } from '../lib/rounds.ts';
import { figure } from '../lib/stats.ts';
import { backlog, watch, watchProcessed } from './drain.ts';

const workload = { workers: 1, concurrency: 50 };
const perStatement = 100_000;

/**
 * A database for each size, all filled before the first round, and alternating rounds: the figures compared are minutes
 * apart at most.
 */
export async function storedEvents(
  ours: Contender,
  sizes: readonly number[],
  seconds: number,
  n: number,
  say: (line: string) => void,
): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const subjects: Subject[] = [];
  for (const size of sizes) {
    const session = stack.use(await ours.open());
    if (subjects.length === 0) stack.use(await withRoom(session.database));
    for (let stored = 0; stored < size; stored += perStatement) await insertClosed(session.database, stored);
    await flush(session.database);
    say(`growth: ${millions(size)} stored`);
    const name = `${millions(size)} stored`;
    subjects.push(
      { name: `accept, ${name}`, round: async () => ({ '/s': await acceptAll(session, seconds) }) },
      { name: `drain, ${name}`, round: async () => ({ '/s': await drainAll(session, seconds) }) },
    );
  }
  return await rounds('growth', subjects, n, say);
}

async function acceptAll(session: Session, seconds: number): Promise<number> {
  const api = await session.startApi();
  const { '/s': rate } = await warmLoad(api.url, seconds);
  await api.stop();
  return rate;
}

/** Drains the accepted events and another backlog completely, so that a round leaves nothing to the next. */
async function drainAll(session: Session, seconds: number): Promise<number> {
  if ((await session.open()) < 20_000) await backlog(session, 20_000);
  const workers = await session.startWorkers(workload);
  const { rate } = await watch(session, seconds, workers);
  while ((await session.open()) > 0) await delay(200);
  await Promise.all(workers.map((worker) => worker.stop()));
  return rate;
}

/** The same drain with a short and a long queue, in turn; rows and messages are created without the API. */
export async function longBacklog(
  ours: Contender,
  urls: Urls,
  diskBytes: () => Promise<number>,
  sizes: { readonly short: number; readonly long: number },
  seconds: number,
  n: number,
  say: (line: string) => void,
): Promise<Row[]> {
  await using long = await ours.open();
  await using _room = await withRoom(long.database);
  const empty = await diskBytes();
  await makeBacklog(long, urls, sizes.long);
  const disk = ((await diskBytes()) - empty) / 1e6;
  const name = (size: number) => `drain, backlog of ${size.toLocaleString('en')}`;
  const subjects = [
    {
      name: name(sizes.short),
      async round() {
        await using short = await ours.open();
        await makeBacklog(short, urls, sizes.short);
        return { '/s': await drainSome(short, seconds) };
      },
    },
    { name: name(sizes.long), round: async () => ({ '/s': await drainSome(long, seconds) }) },
  ];
  return [
    {
      measure: 'backlog',
      subject: `broker disk, backlog of ${sizes.long.toLocaleString('en')}`,
      unit: 'MB',
      figure: figure([disk]),
    },
    ...(await rounds('backlog', subjects, n, say)),
  ];
}

async function makeBacklog(session: Session, urls: Urls, size: number): Promise<void> {
  for (let from = 0; from < size; from += perStatement)
    await insertOpen(session.database, from, Math.min(perStatement, size - from));
  await backlog(session, 1); // the API declares the queue
  await publishOpen(urls, session.queue, size);
  await session.queued(size + 1);
  await flush(session.database);
}

async function drainSome(session: Session, seconds: number): Promise<number> {
  const workers = await session.startWorkers(workload);
  const rate = await watchProcessed(session, seconds);
  await Promise.all(workers.map((worker) => worker.stop()));
  return rate;
}

/** Event `n` of those created here: ids in order of creation, as version 7 ids are. */
const eventIdSql =
  `CONCAT('019b76da-', LPAD(LOWER(HEX(n DIV 65536)), 4, '0'), '-7', LPAD(LOWER(HEX(n % 4096)), 3, ` +
  `'0'), '-8000-', LPAD(LOWER(HEX(n)), 12, '0'))`;
const eventId = (n: number): EventId =>
  `019b76da-${Math.floor(n / 65_536)
    .toString(16)
    .padStart(
      4,
      '0',
    )}-7${(n % 4_096).toString(16).padStart(3, '0')}-8000-${n.toString(16).padStart(12, '0')}` as EventId;
const columns =
  `event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time, end_time, ` +
  `request_digest, created_at, updated_at`;
const values =
  `${eventIdSql}, CONCAT(LEFT(SHA2(n, 256), 12), '_', n), CONCAT('user_', n % 100000), 'TALK', 'b', ` +
  `'n', '2026-01-01', '2026-01-01 00:10:00',
  REPEAT('x', 32), '2026-01-01', '2026-01-01'`;

async function insertClosed(database: Pool, from: number): Promise<void> {
  // Short: they are never read again, and ten million real ones would take 30 GB.
  await insertLogs(database, from, perStatement, '[]');
  await database.query(
    `INSERT INTO conversation_events (${columns}, status, processed_at, friendship_score_change, new_friendship_level)
     SELECT ${values}, 'PROCESSED', '2026-01-01', 1, 'PHASE1_STRANGER' FROM (${numbers(from, perStatement)}) numbers`,
  );
}

async function insertOpen(database: Pool, from: number, count: number, log = storedLog()): Promise<void> {
  await insertLogs(database, from, count, log);
  await database.query(
    `INSERT INTO conversation_events (${columns}, status, next_attempt_at)
     SELECT ${values}, 'PENDING', UTC_TIMESTAMP(3) + INTERVAL 6 HOUR FROM (${numbers(from, count)}) numbers`,
  );
}

async function insertLogs(database: Pool, from: number, count: number, log: string): Promise<void> {
  await database.query(
    `INSERT INTO conversation_logs (event_id, conversation_log) SELECT ${eventIdSql}, ?
      FROM (${numbers(from, count)}) numbers`,
    [log],
  );
}

/** A real conversation, as it is stored. */
function storedLog(): string {
  return JSON.stringify(parseConversationRequest(JSON.parse(nextBody())).turns);
}

/** `count` numbers from `from` on: digits cross-joined with themselves, which works on both servers. */
function numbers(from: number, count: number): string {
  const digits =
    '(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL ' +
    'SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)';
  const places = [...'abcde'];
  const sum = places.map((p, i) => `${p}.d * ${10 ** i}`).join(' + ');
  return `SELECT ${from} + ${sum} AS n FROM ${places.map((p) => `${digits} ${p}`).join(', ')} WHERE ${sum} < ${count}`;
}

async function publishOpen(urls: Urls, queue: string, count: number): Promise<void> {
  const broker = await connect(urls.rabbitmq, { noDelay: true });
  const channel = await broker.createConfirmChannel();
  let confirmed = 0;
  for (let n = 0; n < count; n++) {
    const { body, ...properties } = encodeMessage({
      eventId: eventId(n),
      conversationId: `conversation_${n}`,
      userId: `user_${n % 100_000}`,
      botId: 'b',
    });
    if (!channel.sendToQueue(queue, body, { persistent: true, ...properties }, () => confirmed++))
      await once(channel, 'drain');
    while (n - confirmed >= 1_000) await new Promise((resolve) => setImmediate(resolve));
  }
  await channel.waitForConfirms();
  await broker.close();
}

/**
 * Gives the database what any operator of such a table would: a buffer pool of 4 GiB and a redo log of 2 GiB. With
 * MariaDB's defaults (128 and 96 MiB) the disk would be measured: ids that arrive in no order each dirty a page of
 * their own, and a small log forces all of those to be written at once.
 */
async function withRoom(database: Pool): Promise<AsyncDisposable> {
  const [version] = await one(database, 'SELECT VERSION()');
  const redo = String(version).includes('MariaDB') ? 'innodb_log_file_size' : 'innodb_redo_log_capacity';
  const before = await one(database, `SELECT @@innodb_buffer_pool_size, @@${redo}`);
  const set = async (bufferPool: number, redoLog: number) => {
    await database.query('SET GLOBAL innodb_buffer_pool_size = ?', [bufferPool]);
    await database.query(`SET GLOBAL ${redo} = ?`, [redoLog]);
  };
  await set(4 * 2 ** 30, 2 * 2 ** 30);
  return { [Symbol.asyncDispose]: () => set(Number(before[0]), Number(before[1])) };
}

/** Flushes what a fill left in memory, so that its cost is not charged to the events measured. */
async function flush(pool: Pool): Promise<void> {
  const connection = await pool.getConnection();
  await connection.query('FLUSH TABLES conversation_events, conversation_logs FOR EXPORT');
  await connection.query('UNLOCK TABLES');
  connection.release();
}

async function one(database: Pool, sql: string): Promise<unknown[]> {
  const [rows] = await database.query<RowDataPacket[]>(sql);
  return Object.values(rows[0] ?? {});
}

function millions(n: number): string {
  return n === 0 ? 'none' : `${n / 1e6} M`;
}
