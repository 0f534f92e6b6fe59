import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { Agent } from 'undici';
import { withApiKey } from './api-key.ts';

/** An answer of `/v1/conversations/end/batch`. */
type LineAnswer = {
  readonly line: number;
  readonly status: number;
  readonly replayed: boolean;
  readonly body: { readonly conversation_id?: string };
};

/** What became of a body: how it was answered, or null if the connection ended before. */
type Outcome<T> = { readonly item: T; readonly sentAt: number; readonly answer: LineAnswer | null };

/** Bodies that may be on the way of one stream: it reads answers while it sends. */
const maxUnanswered = 2_000;

/**
 * Sends bodies as one batch, and tells what became of each, in order.
 * @param base  as `baseOf` returns it. @param next  the next body; null: there are no more.
 */
export async function sendBatch<T extends { readonly text: string }>(
  base: string,
  next: () => Promise<T | null>,
  tell: (outcome: Outcome<T>) => Promise<void>,
): Promise<void> {
  const agent = new Agent({ headersTimeout: 60_000, bodyTimeout: 120_000 });
  const unanswered: { readonly item: T; readonly sentAt: number }[] = [];
  let room = Promise.withResolvers<void>();
  let isOver = false;
  /** A body that is being waited for, and is not sent yet. */
  let pulling: Promise<T | null> | null = null;
  let broken: { readonly error: unknown } | null = null;

  /** What is wrong with the input is no matter of the connection. */
  async function tryNext(): Promise<T | null> {
    try {
      return await next();
    } catch (error) {
      broken = { error };
      throw error;
    }
  }

  async function* lines(): AsyncGenerator<string> {
    for (;;) {
      pulling = tryNext();
      const item = await pulling;
      if (item === null || isOver) return;
      pulling = null;
      unanswered.push({ item, sentAt: performance.now() });
      yield `${item.text}\n`;
      while (unanswered.length >= maxUnanswered) await room.promise;
    }
  }

  try {
    const { origin, pathname } = new URL(`${base}/v1/conversations/end/batch`);
    const response = await agent.compose(withApiKey).request({
      origin,
      path: pathname,
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: Readable.from(lines()),
    });
    if (response.statusCode !== 200) await response.body.dump();
    else
      for await (const text of createInterface({ input: response.body })) {
        const answer = JSON.parse(text) as LineAnswer;
        const sent = unanswered.shift();
        room.resolve();
        room = Promise.withResolvers();
        if (sent !== undefined) await tell({ ...sent, answer });
      }
  } catch {
    // What has no answer is told below, and may be sent again: the ids make that safe.
  } finally {
    await agent.destroy();
  }
  isOver = true;
  for (const sent of unanswered.splice(0)) await tell({ ...sent, answer: null });
  const late = await (pulling as Promise<T | null> | null)?.catch(() => null);
  if (late) await tell({ item: late, sentAt: performance.now(), answer: null });
  if (broken !== null) throw (broken as { readonly error: unknown }).error;
}
