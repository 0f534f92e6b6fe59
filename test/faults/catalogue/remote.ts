import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { answer } from '../../support/json-server.ts';
import type { Body } from '../../support/traffic.ts';
import { type Fault, type Scene, untilSaid } from './fault.ts';

const opened = 'circuit open';
const closed = 'circuit closed';

type Misbehaving = {
  behave(behaviour: ((asked: unknown, response: ServerResponse) => void | Promise<void>) | null): void;
};

const breakages: readonly [name: string, misbehave: (response: ServerResponse) => void | Promise<void>][] = [
  ['answers 500', (response) => answer(response, 500, 'down')],
  ['ends every connection', (response) => void response.socket?.destroy()],
  ['takes requests and never answers (half-open)', () => {}],
  [
    'drips its answers',
    async (response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      while (!response.destroyed) {
        response.write(' ');
        await delay(50);
      }
    },
  ],
  ['answers something else', (response) => answer(response, 200, { answer: [] })],
  [
    'answers half a body',
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"answer": "k');
      setTimeout(() => response.socket?.destroy(), 20);
    },
  ],
];

/**
 * What a service that is asked before each scoring can do.
 *
 * @param bodies  conversations about which it has to be asked.
 */
export function remoteFaults(
  service: string,
  server: () => Misbehaving,
  bodies: (stream: string, name: string, n: number) => readonly Body[],
): readonly Fault[] {
  return breakages.map(([what, misbehave]) => ({
    name: `${service} ${what}`,
    async strike({ fleet, traffic, stream, whileBroken }: Scene) {
      const send = (name: string, n: number) => Promise.all(bodies(stream, name, n).map((body) => traffic.send(body)));
      await send('before', 5);
      // Seen: enough calls fail for the circuit to open, and one that succeeds closes it.
      await untilSaid(fleet, opened, async () => {
        server().behave((_asked, response) => misbehave(response));
        await send('while', 15);
      });
      await whileBroken();
      await traffic.more(20);
      await untilSaid(fleet, closed, () => server().behave(null));
      await send('after', 5);
    },
  }));
}
