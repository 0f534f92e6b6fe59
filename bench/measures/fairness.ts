/** One caller floods, another sends a conversation a second: how long the second one waits for its results. */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Contender, Session } from '../contenders/contender.ts';
import { nextBody } from '../lib/bodies.ts';
import type { Subject } from '../lib/rounds.ts';
import { percentile } from '../lib/stats.ts';

const flood = 20_000;
const quietSeconds = 40;
/** Of the flood, by as many clients at once. */
const clients = 16;
/** Each scoring waits as if for a service, so that the worker has a capacity that the flood exceeds. */
const workload = { workers: 1, concurrency: 50, waitMs: 100 };

export function fairnessSubjects(ours: Contender): Subject[] {
  return [
    { name: 'without the flood', round: () => quietWaits(ours, 0, {}) },
    { name: 'with it', round: () => quietWaits(ours, flood, { FAIR_RATE: '100' }) },
    { name: 'with it, in one lane', round: () => quietWaits(ours, flood, {}) },
  ];
}

async function quietWaits(
  ours: Contender,
  events: number,
  env: Record<string, string>,
): Promise<Record<string, number>> {
  await using session = await ours.open(env);
  const api = await session.startApi();
  const [worker] = await session.startWorkers(workload);
  const agent = new Agent({ connections: clients + 1 });
  await Promise.all(Array.from({ length: 50 }, () => post(agent, api.url, 'warm')));
  while ((await session.open()) > 0) await delay(100);
  const flooding = floodWith(agent, api.url, events);
  const sent = new Map<string, number>();
  for (let i = 0; i < quietSeconds; i++) {
    const dueAt = Date.now();
    sent.set(await post(agent, api.url, 'quiet'), dueAt);
    await delay(Math.max(0, 1_000 - (Date.now() - dueAt)));
  }
  await flooding;
  const left = await session.open();
  const waits = await waitsOf(session, sent);
  await Promise.all([api.stop(), worker?.stop()]);
  await agent.close();
  return { 'p50 ms': percentile(waits, 0.5), 'p99 ms': percentile(waits, 0.99), 'flood still waiting': left };
}

async function floodWith(agent: Agent, url: string, events: number): Promise<void> {
  let left = events;
  const client = async () => {
    while (left-- > 0) await post(agent, url, 'loud');
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function post(agent: Agent, url: string, user: string): Promise<string> {
  const body = { ...JSON.parse(nextBody()), user_id: `user_${user}` };
  const answer = await request(`${url}/v1/conversations/end`, {
    method: 'POST',
    dispatcher: agent,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  await answer.body.dump();
  if (answer.statusCode !== 202) throw new Error(`refused with ${answer.statusCode}`);
  return body.conversation_id;
}

/** Waits until all of the quiet one's are processed. */
async function waitsOf(session: Session, sent: ReadonlyMap<string, number>): Promise<number[]> {
  for (;;) {
    const processedAt = await session.processedAt();
    const waits = [...sent].map(([id, dueAt]) => (processedAt?.get(id)?.getTime() ?? Number.NaN) - dueAt);
    if (waits.every(Number.isFinite)) return waits;
    await delay(500);
  }
}
