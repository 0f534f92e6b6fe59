import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { nextBody } from './bodies.ts';

export type Sent = {
  readonly conversationId: string;
  /** When it was due, in milliseconds since 1970. */
  readonly dueAt: number;
  readonly answeredMs: number;
};

const tickMs = 2;
/**
 * More connections than requests ever wait at once, so none waits for another here. Without the test client's
 * deadlines, whose timers would make the generator pause.
 */
const agent = new Agent({ connections: 500 });

/**
 * Open loop: requests are sent when they are due (exponential gaps at `rate` per second), whether or not earlier ones
 * are answered, and their time counts from then. A server that stalls cannot hide it by keeping clients from sending.
 *
 * @throws if a request is refused.
 */
export async function openLoop(url: string, rate: number, seconds: number): Promise<Sent[]> {
  const sent: Promise<Sent>[] = [];
  const began = performance.timeOrigin + performance.now();
  let due = began + gap(rate);
  while (due < began + seconds * 1_000) {
    const now = performance.timeOrigin + performance.now();
    for (; due <= now; due += gap(rate)) sent.push(send(url, due));
    await delay(tickMs);
  }
  return Promise.all(sent);
}

async function send(url: string, dueAt: number): Promise<Sent> {
  const answer = await request(`${url}/v1/conversations/end`, {
    method: 'POST',
    dispatcher: agent,
    headers: { 'content-type': 'application/json' },
    body: nextBody(),
  });
  const { conversation_id } = (await answer.body.json()) as { conversation_id?: unknown };
  if (answer.statusCode !== 202) throw new Error(`refused with ${answer.statusCode}`);
  return {
    conversationId: String(conversation_id),
    dueAt,
    answeredMs: performance.timeOrigin + performance.now() - dueAt,
  };
}

function gap(rate: number): number {
  return (-Math.log(1 - Math.random()) * 1_000) / rate;
}
