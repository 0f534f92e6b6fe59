import { fileURLToPath } from 'node:url';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { insertEvents, loadEvents, openStore } from '../../src/store/index.ts';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { conversation, post, postAll, rows, statuses } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { newEvent } from '../support/new-event.ts';
import { type OwnServers, startOwnServers } from '../support/own-servers.ts';

/**
 * The text of a conversation is stored in one place only: not in the broker, not in other tables. Uses servers of its
 * own, because their files are searched and a database setting is changed.
 */

const said = 'thepurplehippopotamus';

let servers: OwnServers;
let space: Namespace;
let api: Member;
let broker: BrokerHand;

beforeAll(async () => {
  servers = await startOwnServers();
  space = await createNamespace(
    { database: servers.database.url, rabbitmq: servers.broker.url },
    { SCORER_MODULE: fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url)), SCORING_THREADS: '1' },
  );
  broker = await openBroker(servers.broker.url);
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await broker.close();
  await space.dispose();
  await servers.dispose();
});

/** Whether any file of the broker's data contains these bytes. */
async function brokerHas(text: string): Promise<boolean> {
  const status = JSON.parse(await servers.broker.ctl('status', '--formatter', 'json'));
  const printed = await servers.broker.ctl('eval', `os:cmd("grep -rlaF ${text} ${status.data_directory} | wc -l").`);
  const files = /\d+/.exec(printed);
  if (files === null) throw new Error(`the broker's data cannot be searched: ${printed}`);
  return Number(files[0]) > 0;
}

async function tablesWith(text: string): Promise<string[]> {
  const columns = await rows<{ t: string; c: string }>(
    space.database,
    'SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = DATABASE()',
  );
  const found = new Set<string>();
  for (const { t, c } of columns) {
    const [first] = await rows(space.database, `SELECT 1 FROM ${t} WHERE CAST(${c} AS CHAR) LIKE ? LIMIT 1`, [
      `%${text}%`,
    ]);
    if (first !== undefined) found.add(t);
  }
  return [...found];
}

test('the text of waiting, processed and dead-lettered conversations is in one table only', async () => {
  const conversation_log = [{ speaker: 'user', text: said }];
  const metadata = { note: said };
  const scored = conversation({ conversation_log, metadata });
  const refused = conversation({ conversation_log, metadata: { ...metadata, act: 'refuse' } });
  const worker = await startMember('worker', space.env);
  await postAll(api.url, [scored, refused]);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 1, FAILED: 1 }), {
    timeout: 30_000,
  });
  await vi.waitFor(async () => expect(await broker.depth(space.deadQueue)).toBe(1));
  expect(await worker.stop()).toBe(0);
  const { body: waiting } = await post(api.url, conversation({ conversation_log, metadata }));
  await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(1));

  expect(await tablesWith(said)).toEqual(['conversation_logs']);
  expect(await brokerHas(waiting.event_id)).toBe(true);
  expect(await brokerHas(said)).toBe(false);
});

test('a text stored before `max_allowed_packet` was lowered is still read in full', async () => {
  const text = JSON.stringify('x'.repeat(1_500_000));
  const admin = await mysql.createConnection(servers.database.url);
  const [[before]] = await admin.query<mysql.RowDataPacket[]>('SELECT @@GLOBAL.max_allowed_packet AS bytes');
  const connect = () =>
    openStore(space.env['DATABASE_URL'] ?? '', { poolSize: 2, acceptConnections: 1, connectTimeoutMs: 5_000 });
  const store = await connect();
  const event = { ...newEvent(1), logJson: text, metadataJson: text };
  await insertEvents(store, [event], { graceMs: 60_000, deadlineMs: 5_000 });
  await store.close();

  await admin.query('SET GLOBAL max_allowed_packet = 1048576');
  try {
    const lowered = await connect();
    const [loaded] = await loadEvents(lowered, [event], 5_000);
    await lowered.close();
    expect(Buffer.concat(loaded?.text ?? []).toString()).toContain(`"metadata":${text},"conversation_log":${text}`);
  } finally {
    await admin.query('SET GLOBAL max_allowed_packet = ?', [before?.['bytes']]);
    await admin.end();
  }
});
