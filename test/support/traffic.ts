import { setTimeout as delay } from 'node:timers/promises';
import { vi } from 'vitest';
import { type Answer, post, samples } from './client.ts';

type Accepted = { readonly eventId: string; readonly body: Body };
export type Body = Record<string, unknown> & { readonly conversation_id: string; readonly user_id: string };

/** Clients that post real conversations at a steady rate and repeat each until it is accepted, as the contract asks. */
export type Traffic = {
  readonly accepted: ReadonlyMap<string, Accepted>;
  /** Conversations answered 202 with two different event ids. Must stay empty. */
  readonly contradicted: readonly string[];
  /** Answers that were neither 202 nor 503. Must stay empty. */
  readonly strange: readonly { status: number; code: unknown }[];
  /** How many requests were answered 503 or not at all, and repeated. */
  readonly repeats: number;
  /** Resolves when this many more were accepted. */
  more(n: number): Promise<void>;
  /** Posts one body until it is accepted; it counts like the others. */
  send(body: Body, url?: string): Promise<void>;
  pause(): void;
  resume(): void;
  /** No new ones; resolves when every one that was sent has been accepted. */
  stop(): Promise<void>;
};

const real = samples();
/** One in this many is posted twice at once. */
const twice = 10;

const priorities = ['normal', 'high', 'normal', 'low'];

/** A real conversation under a new id, of one of `users` users of `stream`; half of them in the normal lane. */
export function realBody(stream: string, n: number, users: number): Body {
  const sample = real[n % real.length] ?? {};
  const priority = priorities[n % priorities.length];
  return { ...sample, priority, conversation_id: `${stream}_${n}`, user_id: `${stream}_user_${n % users}` };
}

export function startTraffic(options: {
  readonly url: string;
  /** Prefix of all ids: one per run. */
  readonly stream: string;
  /** Conversations per second. */
  readonly rate: number;
  readonly users: number;
}): Traffic {
  const accepted = new Map<string, Accepted>();
  const contradicted: string[] = [];
  const strange: { status: number; code: unknown }[] = [];
  const underWay = new Set<Promise<void>>();
  let repeats = 0;
  let n = 0;
  let paused = false;

  async function send(body: Body, url = options.url): Promise<void> {
    for (let waitMs = 50; ; waitMs = Math.min(1_000, waitMs * 2)) {
      const answer = await post(url, body, {}, { timeoutMs: 5_000 }).catch(() => null);
      if (answer?.status === 202) return note(body, answer);
      if (answer !== null && answer.status !== 503) strange.push({ status: answer.status, code: answer.body?.code });
      repeats++;
      await delay(waitMs * (0.5 + Math.random()));
      // The process at `url` may have died: the repeats go where all the others go.
      url = options.url;
    }
  }

  function note(body: Body, answer: Answer): void {
    const eventId = String(answer.body.event_id);
    const before = accepted.get(body.conversation_id);
    if (before && before.eventId !== eventId) contradicted.push(body.conversation_id);
    accepted.set(body.conversation_id, { eventId, body });
  }

  function launch(): void {
    // Waiting clients count: no more than a thousand at once.
    if (paused || underWay.size >= 1_000) return;
    const body = realBody(options.stream, n++, options.users);
    const sent = n % twice === 0 ? Promise.all([send(body), send(body)]).then(() => {}) : send(body);
    underWay.add(sent);
    void sent.finally(() => underWay.delete(sent));
  }

  const tickMs = 20;
  let owed = 0;
  const timer = setInterval(() => {
    owed += (options.rate * tickMs) / 1_000;
    for (; owed >= 1; owed--) launch();
  }, tickMs);

  return {
    accepted,
    contradicted,
    strange,
    get repeats() {
      return repeats;
    },
    async more(count) {
      const target = accepted.size + count;
      await vi.waitUntil(() => accepted.size >= target, { timeout: 120_000, interval: 20 });
    },
    async send(body, url) {
      const sent = send(body, url);
      underWay.add(sent);
      await sent.finally(() => underWay.delete(sent));
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
