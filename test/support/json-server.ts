import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Answers a request, in whatever way. */
type Behaviour<Asked> = (request: Asked, response: ServerResponse) => void | Promise<void>;

export type JsonServer<Asked> = AsyncDisposable & {
  readonly url: string;
  readonly asked: readonly Asked[];
  readonly headers: readonly IncomingHttpHeaders[];
  /** Connections that were opened. */
  readonly connections: number;
  /** The most requests that were unanswered at the same time. */
  readonly mostAtOnce: number;
  /** Null: as agreed. */
  behave(behaviour: Behaviour<Asked> | null): void;
};

/** A service that is asked by POST on this machine, and that can be made to misbehave. */
export async function startJsonServer<Asked>(
  agreed: (asked: Asked) => unknown,
  options: { readonly path?: string; readonly delayMs?: number } = {},
): Promise<JsonServer<Asked>> {
  const asked: Asked[] = [];
  const headers: IncomingHttpHeaders[] = [];
  let connections = 0;
  let atOnce = 0;
  let mostAtOnce = 0;
  let behaviour: Behaviour<Asked> | null = null;
  const server = createServer(async (request, response) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    response.once('close', () => atOnce--);
    if (request.method !== 'POST') return answer(response, 405, '');
    const body = await readAll<Asked>(request);
    asked.push(body);
    headers.push(request.headers);
    if (behaviour !== null) return behaviour(body, response);
    if (options.delayMs) await delay(options.delayMs);
    answer(response, 200, agreed(body));
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${options.path ?? '/'}`,
    asked,
    headers,
    get connections() {
      return connections;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    behave(next) {
      behaviour = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

async function readAll<T>(request: IncomingMessage): Promise<T> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as T;
}
