import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

type Received = { readonly headers: IncomingHttpHeaders; readonly body: string; readonly at: number };

/** A receiver of webhooks that can be made to misbehave. */
export type Receiver = AsyncDisposable & {
  readonly url: string;
  readonly received: readonly Received[];
  readonly mostAtOnce: number;
  /** Null: 204. */
  behave(behaviour: ((response: ServerResponse, received: Received) => void) | null): void;
};

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  let behaviour: ((response: ServerResponse, one: Received) => void) | null = null;
  let [atOnce, mostAtOnce] = [0, 0];
  const server = createServer(async (request, response) => {
    mostAtOnce = Math.max(mostAtOnce, ++atOnce);
    response.once('close', () => atOnce--);
    const one = { headers: request.headers, body: await text(request), at: Date.now() };
    received.push(one);
    if (behaviour === null) response.writeHead(204).end();
    else behaviour(response, one);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
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
