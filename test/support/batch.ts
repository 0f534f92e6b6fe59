import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';

type BatchAnswer = {
  readonly line: number;
  readonly status: number;
  readonly replayed: boolean;
  readonly body: any;
};

/** A client of `/end/batch` that sends and reads as it likes. */
export type BatchClient = {
  readonly request: ClientRequest;
  /** Resolves when the socket has taken it. */
  send(...lines: readonly unknown[]): Promise<void>;
  response(): Promise<IncomingMessage>;
  /** The next answer; null: there are no more. */
  next(): Promise<BatchAnswer | null>;
  /** Sends the end, and reads what is left. */
  rest(): Promise<BatchAnswer[]>;
};

export function openBatch(url: string, headers: Record<string, string> = {}): BatchClient {
  const sending = request(new URL('/v1/conversations/end/batch', url), {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  });
  sending.on('error', () => {}); // told by `response`
  sending.flushHeaders();
  const answered = once(sending, 'response').then(([response]) => response as IncomingMessage);
  answered.catch(() => {});
  let lines: AsyncIterator<string> | null = null;
  const next = async () => {
    lines ??= createInterface({ input: await answered })[Symbol.asyncIterator]();
    const { value, done } = await lines.next();
    return done ? null : (JSON.parse(value) as BatchAnswer);
  };
  return {
    request: sending,
    async send(...given) {
      for (const line of given) {
        const text = typeof line === 'string' || Buffer.isBuffer(line) ? line : JSON.stringify(line);
        if (!sending.write(Buffer.concat([Buffer.from(text), Buffer.from('\n')]))) await once(sending, 'drain');
      }
    },
    response: () => answered,
    next,
    async rest() {
      sending.end();
      const all: BatchAnswer[] = [];
      for (let answer = await next(); answer !== null; answer = await next()) all.push(answer);
      return all;
    },
  };
}
