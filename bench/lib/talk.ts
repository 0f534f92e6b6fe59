import autocannon from 'autocannon';
import { Agent, request } from 'undici';

const texts = [
  'Hi! What did you do today?',
  'I played with my dog in the park, and then we had ice cream.',
  'Do you like dogs? What is yours called?',
  'Con chó của em tên là Lu, nó thích chạy ngoài vườn.',
];

/**
 * Closed loop: each of 100 connections sends its next message when the previous one is answered, in one of `sessions`
 * sessions that are there before the clock starts.
 */
export async function talk(
  url: string,
  seconds: number,
  { sessions = 1_000, connections = 100 } = {},
): Promise<Record<'/s' | 'p50 ms' | 'p99 ms', number>> {
  const run = `${process.pid}-${Date.now()}`;
  await begin(url, run, sessions);
  let n = 0;
  const result = await autocannon({
    url,
    connections,
    duration: seconds,
    requests: [
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        setupRequest(one) {
          const i = n++;
          const body = {
            message_id: `m-${run}-${i}`,
            role: i % 2 === 0 ? 'user' : 'bot',
            text: texts[i % texts.length],
          };
          // A session takes 2,000 messages: each thousand of rounds begins new ones.
          const session = `${run}-${Math.floor(i / (sessions * 1_500))}-${i % sessions}`;
          return { ...one, path: `/v1/sessions/${session}/messages`, body: JSON.stringify(body) };
        },
      },
    ],
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.errors} failed, answers ${JSON.stringify(result.statusCodeStats)}`);
  return { '/s': result['2xx'] / result.duration, 'p50 ms': result.latency.p50, 'p99 ms': result.latency.p99 };
}

async function begin(url: string, run: string, sessions: number): Promise<void> {
  const agent = new Agent({ connections: 50 });
  let i = 0;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      for (let own = i++; own < sessions; own = i++) {
        const body = {
          session_id: `${run}-0-${own}`,
          user_id: `user_${own}`,
          bot_type: 'T',
          bot_id: 'b',
          bot_name: 'B',
        };
        const answer = await request(`${url}/v1/sessions`, {
          dispatcher: agent,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
        await answer.body.dump();
        if (answer.statusCode >= 300) throw new Error(`a session was refused with ${answer.statusCode}`);
      }
    }),
  );
  await agent.destroy();
}
