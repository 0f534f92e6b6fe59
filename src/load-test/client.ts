import { randomBytes } from 'node:crypto';
import { Agent } from 'undici';
import { withApiKey } from '../send/api-key.ts';
import type { Operation, Recorder } from './recorder.ts';

type LoadClient = {
  /** One request of a user: picks what it is, sends it, and records how it went. Never rejects. */
  act(user: number, dueAt?: number): Promise<void>;
  /** Messages that wait in the queue, as the API says; null if it does not. */
  queued(): Promise<number | null>;
  close(): Promise<void>;
};

const answerMs = 30_000;
/** The queue is only shown: a live line does not wait for an API that is overwhelmed. */
const queuedMs = 1_000;

/**
 * Sends what virtual users do, without repeating anything: what fails should be seen.
 *
 * @param options.base  the API's address.
 * @param options.mix  how often each operation is chosen, relative to the others.
 */
export function createLoadClient(options: {
  readonly base: string;
  readonly connections: number;
  readonly mix: Readonly<Record<Operation, number>>;
  readonly nextBody: () => Record<string, unknown>;
  readonly recorder: Recorder;
}): LoadClient {
  const { base, mix, recorder } = options;
  const agent = new Agent({ connections: options.connections, headersTimeout: answerMs, bodyTimeout: answerMs });
  const client = agent.compose(withApiKey);
  const aside = new Agent({ connections: 1 });
  const { origin, pathname } = new URL(base);
  const prefix = pathname.replace(/\/$/, '');
  /** No two runs share an id. */
  const run = `load_${randomBytes(4).toString('hex')}`;
  const latest = new Map<number, string>();
  let n = 0;

  function choose(user: number): Operation {
    if (!latest.has(user)) return 'submit';
    return Math.random() * (mix.submit + mix.status) < mix.submit ? 'submit' : 'status';
  }

  async function send(operation: Operation, user: number): Promise<string | null> {
    const id = operation === 'submit' ? `${run}_${n++}` : (latest.get(user) ?? '');
    const { statusCode, body } = await client.request(
      operation === 'submit'
        ? {
            origin,
            path: `${prefix}/v1/conversations/end`,
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ ...options.nextBody(), conversation_id: id, user_id: `${run}_user_${user}` }),
          }
        : { origin, path: `${prefix}/v1/conversations/${id}`, method: 'GET' },
    );
    const text = await body.text();
    if (statusCode === (operation === 'submit' ? 202 : 200)) {
      if (operation === 'submit') latest.set(user, id);
      return null;
    }
    return reasonOf(statusCode, text);
  }

  return {
    async act(user, dueAt = performance.now()) {
      const operation = choose(user);
      try {
        const reason = await send(operation, user);
        recorder.record(operation, performance.now() - dueAt, reason);
      } catch (error) {
        recorder.recordNone(operation, `no answer (${(error as { code?: string }).code ?? 'unknown'})`);
      }
    },
    async queued() {
      try {
        const { body } = await aside.compose(withApiKey).request({
          origin,
          path: `${prefix}/health/detailed`,
          method: 'GET',
          signal: AbortSignal.timeout(queuedMs),
        });
        const { messages_waiting } = (await body.json()) as { messages_waiting?: unknown };
        return typeof messages_waiting === 'number' ? messages_waiting : null;
      } catch {
        return null;
      }
    },
    close: async () => {
      await Promise.all([agent.destroy(), aside.destroy()]);
    },
  };
}

function reasonOf(status: number, text: string): string {
  try {
    const { code } = JSON.parse(text) as { code?: unknown };
    return typeof code === 'string' ? `${status} ${code}` : String(status);
  } catch {
    return String(status);
  }
}
