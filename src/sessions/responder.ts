import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Gauge } from '../runtime/gauge.ts';
import type { Logger } from '../runtime/log.ts';
import { spans } from '../runtime/spans.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import type { Message } from './ports.ts';

/** What a responder gets. `history`: the messages before this one, oldest first, at most nine. */
type ResponderInput = {
  readonly session_id: string;
  readonly user_id: string;
  readonly bot_id: string;
  readonly history: readonly { readonly role: 'user' | 'bot'; readonly text: string }[];
  readonly message: string;
};

/**
 * A plug-in that answers for the bot: the default export of the module named by `RESPONDER_MODULE`. It runs on the
 * event loop of the API, so it must wait for whatever it needs, and never compute for long. `signal` aborts at
 * `RESPONDER_TIMEOUT_MS`. It may be asked again for a message whose reply was not stored.
 */
export type Responder = {
  readonly name: string;
  /** Resolves with what the bot says: text that is not blank. */
  reply(input: ResponderInput, context: { readonly signal: AbortSignal }): Promise<string>;
};

export type Reply =
  | { readonly text: string }
  | { readonly code: 'responder_failed' | 'responder_timeout' | 'responder_busy' | 'responder_invalid_reply' };

export type Respond = {
  reply(
    session: { sessionId: string; userId: string; botId: string },
    history: readonly Message[],
    message: string,
  ): Promise<Reply>;
  readonly gauge: Gauge;
};

const maxReplyLength = 100_000;
const complainEveryMs = 10_000;

/** @throws {TypeError} if the module exports no responder; whatever it throws while it is loaded. */
export async function loadResponder(module: string): Promise<Responder> {
  const loaded = (await import(pathToFileURL(resolve(module)).href)) as { default?: Partial<Responder> };
  const responder = loaded.default;
  if (typeof responder?.reply !== 'function' || typeof responder.name !== 'string')
    throw new TypeError('it must have a default export { name, reply(input, { signal }) }');
  return responder as Responder;
}

/** Asks a responder, within a deadline, and at most `atOnce` times at the same time. */
export function createRespond(
  responder: Responder,
  { timeoutMs, atOnce, log }: { readonly timeoutMs: number; readonly atOnce: number; readonly log: Logger },
): Respond {
  let running = 0;
  let complainedAt = Number.NEGATIVE_INFINITY;

  function complain(error: unknown): void {
    if (performance.now() < complainedAt + complainEveryMs) return;
    complainedAt = performance.now();
    log.warn({ err: error, responder: responder.name }, 'the responder failed');
  }

  async function ask(input: ResponderInput): Promise<Reply> {
    const signal = AbortSignal.timeout(timeoutMs);
    const late = new Promise<'late'>((done) => signal.addEventListener('abort', () => done('late'), { once: true }));
    try {
      const asked = Promise.resolve(responder.reply(input, { signal }));
      asked.catch(() => {}); // it may reject after the deadline
      const text: unknown = await Promise.race([asked, late]);
      if (signal.aborted) return { code: 'responder_timeout' };
      const said = typeof text === 'string' ? text.trim() : '';
      if (said === '' || said.length > maxReplyLength || !said.isWellFormed())
        return { code: 'responder_invalid_reply' };
      return { text: said };
    } catch (error) {
      if (signal.aborted) return { code: 'responder_timeout' };
      complain(error);
      return { code: 'responder_failed' };
    }
  }

  return {
    async reply(session, history, message) {
      const began = performance.now();
      if (running >= atOnce) {
        telemetry.responded.tell({ code: 'responder_busy', ms: 0 });
        return { code: 'responder_busy' };
      }
      running++;
      try {
        const reply = await spans.reply.around({}, () =>
          ask({
            session_id: session.sessionId,
            user_id: session.userId,
            bot_id: session.botId,
            history: history.map(({ role, text }) => ({ role, text })),
            message,
          }),
        );
        telemetry.responded.tell({ code: 'code' in reply ? reply.code : null, ms: msSince(began) });
        return reply;
      } finally {
        running--;
      }
    },
    gauge: { name: 'replies', bound: atOnce, held: () => running },
  };
}
