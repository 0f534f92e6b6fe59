/** Bytes per event: in its message, and in the database's binary log if there is one. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { newEventId } from '../../src/event/event.ts';
import { encodeMessage } from '../../src/event/message.ts';
import { call, samples } from '../../test/support/client.ts';
import type { Contender } from '../contenders/contender.ts';
import { fill } from '../lib/load.ts';
import type { Row } from '../lib/rounds.ts';
import { figure } from '../lib/stats.ts';

const events = 5_000;
/** Confirms are marked after half of this, or when the API ends: here, when we end it. */
const graceMs = 600_000;

export async function bytesOfAnEvent(ours: Contender): Promise<Row[]> {
  const bodies = samples().map((body) => {
    const [conversationId, userId, botId] = [
      String(body['conversation_id']),
      String(body['user_id']),
      String(body['bot_id']),
    ];
    return encodeMessage({ eventId: newEventId(), conversationId, userId, botId }).body.length;
  });
  const row = (subject: string, values: readonly number[]): Row => ({
    measure: 'bytes',
    subject,
    unit: 'bytes',
    figure: figure(values),
  });
  return [
    row('message body', bodies),
    ...Object.entries(await binaryLog(ours)).map(([step, bytes]) => row(`binary log, ${step}`, [bytes])),
  ];
}

/** Bytes per event for each step; empty if the server keeps no binary log. */
async function binaryLog(ours: Contender): Promise<Record<string, number>> {
  await using session = await ours.open({ PUBLISH_GRACE_MS: String(graceMs) });
  const written = () => logBytes(session.database);
  const start = await written();
  if (start === null) return {};
  const api = await session.startApi();
  // Events accepted before the broker is connected would be published only after the grace period.
  while ((await call(api.url, 'GET', '/readyz')).body.broker !== 'up') await delay(50);
  await fill(api.url, events);
  await session.queued(events);
  const accepted = await written();
  await api.stop();
  const marked = await written();
  const workers = await session.startWorkers({ workers: 1, concurrency: 50 });
  while ((await session.processed()) < events) await delay(100);
  const settled = await written();
  await Promise.all(workers.map((worker) => worker.stop()));
  const each = (from: number | null, to: number | null) => ((to ?? Number.NaN) - (from ?? Number.NaN)) / events;
  return { accept: each(start, accepted), 'confirm mark': each(accepted, marked), settle: each(marked, settled) };
}

async function logBytes(database: Pool): Promise<number | null> {
  const [[on]] = await database.query<RowDataPacket[]>('SELECT @@log_bin AS kept');
  if (Number(on?.['kept']) === 0) return null;
  const [files] = await database.query<RowDataPacket[]>('SHOW BINARY LOGS');
  return files.reduce((sum, file) => sum + Number(file['File_size']), 0);
}
