import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

type Asked = {
  readonly text?: string;
  readonly texts?: readonly string[];
  readonly lang: string;
  readonly mode: boolean;
};
/** Answers a request, in whatever way; not set: as agreed. */
type Behaviour = (request: Asked, response: ServerResponse) => void | Promise<void>;

export type PhonemeServer = AsyncDisposable & {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Connections that were opened. */
  readonly connections: number;
  behave(behaviour: Behaviour | null): void;
};

/** Whatever a text is, these are its phonemes: letters are their own. */
export const ipaOf = (text: string) => `ˈ${text.replace(/[^a-zà-ỹ]/gu, '')}`;

/** A phoneme service on this machine that can be made to misbehave. */
export async function startPhonemeServer(options: { readonly delayMs?: number } = {}): Promise<PhonemeServer> {
  const asked: Asked[] = [];
  let connections = 0;
  let behaviour: Behaviour | null = null;
  const server = createServer(async (request, response) => {
    const body = await readAll(request);
    asked.push(body);
    if (behaviour !== null) return behaviour(body, response);
    if (options.delayMs) await delay(options.delayMs);
    answer(response, 200, { ipa: body.texts?.map(ipaOf) ?? ipaOf(body.text ?? ''), extra: 'ignored' });
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ipa?v=1`,
    asked,
    get connections() {
      return connections;
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

export function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

async function readAll(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as Asked;
}
