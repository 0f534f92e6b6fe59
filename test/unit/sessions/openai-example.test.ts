import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRespond, loadResponder, type Respond } from '../../../src/sessions/responder.ts';

let respond: Respond;
let answer: (request: IncomingMessage, body: string, response: ServerResponse) => void;
const model = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  answer(request, body, response);
});

beforeAll(async () => {
  model.listen(0, '127.0.0.1');
  await once(model, 'listening');
  process.env['RESPONDER_URL'] = `http://127.0.0.1:${(model.address() as AddressInfo).port}/v1`;
  process.env['RESPONDER_KEY'] = 'secret';
  respond = createRespond(await loadResponder('docs/examples/openai-responder.ts'), {
    timeoutMs: 300,
    atOnce: 10,
    log: pino({ level: 'silent' }),
  });
});
afterAll(() => {
  model.closeAllConnections();
  model.close();
});

const session = { sessionId: 's', userId: 'u', botId: 'b' };
const said = { messageId: 'm', position: 1, sentAt: new Date(0) };
const ask = () =>
  respond.reply(
    session,
    [
      { ...said, role: 'user', text: 'Hi' },
      { ...said, role: 'bot', text: 'Hello!' },
    ],
    'How are you?',
  );

test('the model gets who said what, and its answer is the reply', async () => {
  answer = (request, body, response) => {
    expect(request.url).toBe('/v1/chat/completions');
    expect(request.headers.authorization).toBe('Bearer secret');
    expect(JSON.parse(body).messages.slice(1)).toEqual([
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello!' },
      { role: 'user', content: 'How are you?' },
    ]);
    response.end(JSON.stringify({ choices: [{ message: { content: ' Fine, thank you. ' } }] }));
  };
  expect(await ask()).toEqual({ text: 'Fine, thank you.' });
});

test.each<[string, string, typeof answer]>([
  ['is overloaded', 'responder_failed', (_, __, response) => response.writeHead(503).end('{"error":"busy"}')],
  ['refuses the key', 'responder_failed', (_, __, response) => response.writeHead(401).end('{}')],
  ['answers with garbage', 'responder_failed', (_, __, response) => response.end('<html>')],
  ['answers without a text', 'responder_failed', (_, __, response) => response.end('{"choices":[]}')],
  ['answers with nothing', 'responder_failed', (_, __, response) => response.end()],
  [
    'says a blank',
    'responder_invalid_reply',
    (_, __, response) => response.end(JSON.stringify({ choices: [{ message: { content: ' \n ' } }] })),
  ],
  ['hangs up', 'responder_failed', (request) => request.socket.destroy()],
  ['says nothing', 'responder_timeout', () => {}],
  [
    'answers slowly, byte by byte',
    'responder_timeout',
    (_, __, response) => {
      const drip = setInterval(() => response.write(' '), 20);
      response.once('close', () => clearInterval(drip));
    },
  ],
  ['answers without end', 'responder_failed', (_, __, response) => response.end('x'.repeat(1_000_000))],
])('a model that %s fails with its code, in time', async (_name, code, misbehave) => {
  answer = misbehave;
  expect(await ask()).toEqual({ code });
});

test('a model that cannot be reached fails', async () => {
  const { port } = model.address() as AddressInfo;
  expect(port).toBeGreaterThan(0);
  model.closeAllConnections();
  await new Promise((resolve) => model.close(resolve));
  expect(await ask()).toEqual({ code: 'responder_failed' });
});
