/**
 * The best the servers can do with the bare statements and messages of the pipeline, without any of our code around
 * them. Rates per second.
 */
import { once } from 'node:events';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import mysql, { type Connection } from 'mysql2/promise';
import { newEventId } from '../../src/event/event.ts';
import { encodeMessage } from '../../src/event/message.ts';
import { nextBody } from '../lib/bodies.ts';

const logs = Array.from({ length: 400 }, () => nextBody());
const [day, nextDay] = ['2026-01-01', '2026-01-02'];
let ids = 0;

const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } } as const;

/** Durable multi-row INSERTs: 50 events and their logs per transaction, two connections. */
export async function insertRate(databaseUrl: string, seconds: number): Promise<number> {
  await using tables = await ownTables(databaseUrl);
  return await perSecond(seconds, tables.connections, (connection) => insertFifty(connection, tables));
}

type Tables = {
  readonly events: string;
  readonly logs: string;
  readonly connections: readonly [Connection, Connection];
};

/** Empty copies of the two tables that conversations are stored in, for two connections without autocommit. */
async function ownTables(databaseUrl: string): Promise<Tables & AsyncDisposable> {
  const connections = await Promise.all([mysql.createConnection(databaseUrl), mysql.createConnection(databaseUrl)]);
  const [events, logs] = [`floor_events_${Date.now()}`, `floor_logs_${Date.now()}`];
  await connections[0].query(`CREATE TABLE ${events} LIKE conversation_events`);
  await connections[0].query(`CREATE TABLE ${logs} LIKE conversation_logs`);
  for (const connection of connections) await connection.query('SET autocommit = 0');
  return {
    events,
    logs,
    connections,
    async [Symbol.asyncDispose]() {
      await connections[1].end();
      await connections[0].query(`DROP TABLE ${events}, ${logs}`);
      await connections[0].end();
    },
  };
}

async function insertFifty(connection: Connection, { events, logs: texts }: Tables): Promise<number> {
  const batch = Array.from({ length: 50 }, () => ({ id: newEventId(), i: ids++ }));
  await connection.query(`INSERT INTO ${texts} (event_id, conversation_log) VALUES ?`, [
    batch.map(({ id, i }) => [id, logs[i % logs.length]]),
  ]);
  await connection.query(
    `INSERT INTO ${events} (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time, end_time,
      request_digest, status,
       next_attempt_at, created_at, updated_at) VALUES ?`,
    [
      batch.map(({ id, i }) => [
        id,
        `floor_${i}`,
        `user_${i % 168}`,
        'TALK',
        'b',
        'n',
        day,
        nextDay,
        Buffer.alloc(32),
        'PENDING',
        day,
        day,
        day,
      ]),
    ],
  );
  await connection.query('COMMIT');
  return batch.length;
}

/** A confirm channel with a thousand messages in flight. */
export async function publishRate(rabbitmqUrl: string, seconds: number): Promise<number> {
  return withQueue(rabbitmqUrl, async (broker, queue) => {
    const channel = await broker.createConfirmChannel();
    return fill(channel, queue, { seconds });
  });
}

/** Consumes and acks each message, prefetch 100, from a queue with enough messages. */
export async function consumeRate(rabbitmqUrl: string, messages: number): Promise<number> {
  return withQueue(rabbitmqUrl, async (broker, queue) => {
    await fill(await broker.createConfirmChannel(), queue, { messages });
    const channel = await broker.createChannel();
    await channel.prefetch(100);
    let left = messages;
    const began = performance.now();
    await new Promise<void>((resolve) => {
      void channel.consume(queue, (message) => {
        if (message === null) return;
        channel.ack(message);
        if (--left === 0) resolve();
      });
    });
    return messages / ((performance.now() - began) / 1_000);
  });
}

async function withQueue<T>(url: string, work: (broker: ChannelModel, queue: string) => Promise<T>): Promise<T> {
  const broker = await connect(url, { noDelay: true });
  const queue = `floor_${Date.now()}`;
  const channel = await broker.createChannel();
  await channel.assertQueue(queue, quorum);
  try {
    return await work(broker, queue);
  } finally {
    await channel.deleteQueue(queue);
    await broker.close();
  }
}

async function fill(
  channel: ConfirmChannel,
  queue: string,
  until: { seconds: number } | { messages: number },
): Promise<number> {
  const { body } = encodeMessage({ eventId: newEventId(), conversationId: newEventId(), userId: 'user_1', botId: 'b' });
  let confirmed = 0;
  let sent = 0;
  const began = performance.now();
  const enough = () =>
    'seconds' in until ? performance.now() - began > until.seconds * 1_000 : sent >= until.messages;
  while (!enough()) {
    const writable = channel.sendToQueue(queue, body, { persistent: true }, () => confirmed++);
    sent++;
    if (!writable) await once(channel, 'drain');
    while (sent - confirmed >= 1_000) await new Promise((resolve) => setImmediate(resolve));
  }
  await channel.waitForConfirms();
  return sent / ((performance.now() - began) / 1_000);
}

/** Lock, update, add up: 50 events per transaction, two connections. */
export async function settleRate(databaseUrl: string, count: number): Promise<number> {
  await using tables = await ownTables(databaseUrl);
  const [first, second] = tables.connections;
  for (let i = 0; i < count; i += 50) await insertFifty(first, tables);
  const [rows] = await first.query(`SELECT event_id, user_id FROM ${tables.events} ORDER BY event_id`);
  await first.query('COMMIT');
  const batches: { event_id: string; user_id: string }[][] = [];
  for (let i = 0; i < count; i += 50) batches.push((rows as { event_id: string; user_id: string }[]).slice(i, i + 50));
  const began = performance.now();
  const lane = async (connection: Connection) => {
    for (let batch = batches.pop(); batch; batch = batches.pop()) await settleFifty(connection, tables.events, batch);
  };
  await Promise.all([lane(first), lane(second)]);
  return count / ((performance.now() - began) / 1_000);
}

async function settleFifty(
  connection: Connection,
  table: string,
  batch: readonly { event_id: string; user_id: string }[],
): Promise<void> {
  const ids = batch.map((row) => row.event_id);
  await connection.query(`SELECT event_id, status FROM ${table} WHERE event_id IN (?) ORDER BY event_id FOR UPDATE`, [
    ids,
  ]);
  await connection.query(
    'INSERT INTO friendship_status (user_id, friendship_score, updated_at) VALUES ? ' +
      'ON DUPLICATE KEY UPDATE friendship_score = friendship_score + VALUES(friendship_score)',
    [[...new Set(batch.map((row) => row.user_id))].sort().map((id) => [id, 1, '2026-01-01'])],
  );
  await connection.query(
    `UPDATE ${table} SET status = 'PROCESSED', next_attempt_at = NULL, processed_at = UTC_TIMESTAMP(3),
      friendship_score_change = 1,
       new_friendship_level = 'PHASE1_STRANGER', score_calculation_details = '{}' WHERE event_id IN (?)`,
    [ids],
  );
  await connection.query('COMMIT');
}

async function perSecond<T>(seconds: number, lanes: readonly T[], work: (lane: T) => Promise<number>): Promise<number> {
  const began = performance.now();
  const until = began + seconds * 1_000;
  const done = await Promise.all(
    lanes.map(async (lane) => {
      let n = 0;
      while (performance.now() < until) n += await work(lane);
      return n;
    }),
  );
  return done.reduce((sum, n) => sum + n, 0) / ((performance.now() - began) / 1_000);
}
