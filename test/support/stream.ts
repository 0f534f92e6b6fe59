import { createInterface } from 'node:readline';
import { request } from 'undici';

type Closed = { readonly id: number; readonly type: string; readonly data: any };

/** A client of `/v1/events/stream`. */
export type StreamClient = AsyncDisposable & {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  /** The last id that was seen, of an event or not. */
  readonly lastId: string;
  readonly seen: readonly Closed[];
  /** Resolves when the server has ended the stream. */
  readonly ended: Promise<void>;
};

export async function openStream(
  url: string,
  { query = '', lastId, headers = {} }: { query?: string; lastId?: string; headers?: Record<string, string> } = {},
): Promise<StreamClient> {
  const answer = await request(`${url}/v1/events/stream${query}`, {
    headers: { ...(lastId !== undefined && { 'last-event-id': lastId }), ...headers },
  });
  const { body } = answer;
  body.on('error', () => {}); // it ends
  const seen: Closed[] = [];
  let last = lastId ?? '';
  const ended = (async () => {
    let fields: Record<string, string> = {};
    try {
      for await (const line of createInterface({ input: body })) {
        const [, name = '', value = ''] = /^(\w*): ?(.*)$/s.exec(line) ?? [];
        if (line !== '') fields[name] = value;
        else {
          if (fields['id'] !== undefined) last = fields['id'];
          if (fields['data'] !== undefined)
            seen.push({ id: Number(fields['id']), type: fields['event'] ?? '', data: JSON.parse(fields['data']) });
          fields = {};
        }
      }
    } catch {
      // The connection was lost.
    }
  })();
  return {
    status: answer.statusCode,
    headers: answer.headers,
    get lastId() {
      return last;
    },
    seen,
    ended,
    async [Symbol.asyncDispose]() {
      body.destroy();
      await ended;
    },
  };
}
