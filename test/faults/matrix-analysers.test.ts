import { afterAll, beforeAll } from 'vitest';
import { type ChatServer, startChatServer } from '../support/chat-server.ts';
import { type Body, realBody } from '../support/traffic.ts';
import { remoteFaults } from './catalogue/remote.ts';
import { proveEach } from './matrix.ts';

let server: ChatServer;
beforeAll(async () => {
  server = await startChatServer();
});
afterAll(() => server[Symbol.asyncDispose]());

proveEach(
  // The client is the same; these are those after which the event differs in what it waits for.
  remoteFaults('the analyser', () => server, bodies).filter(({ name }) => /500|connection|half-open/.test(name)),
  () => ({
    ANALYSER_MODULE: 'openai',
    ANALYSER_URL: server.url,
    ANALYSER_MODEL: 'small',
    ANALYSER_TIMEOUT_MS: '600',
    ANALYSER_WHEN_AWAY: 'retry',
    // They fail as long as the service is away.
    MAX_ATTEMPTS: '100',
  }),
);

function bodies(stream: string, name: string, n: number): Body[] {
  return Array.from({ length: n }, (_, i) => ({
    ...realBody(stream, i, 4),
    conversation_id: `${stream}_${name}_${i}`,
  }));
}
