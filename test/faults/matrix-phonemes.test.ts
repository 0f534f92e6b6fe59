import { afterAll, beforeAll } from 'vitest';
import { type PhonemeServer, startPhonemeServer } from '../support/phoneme-server.ts';
import { type Body, realBody } from '../support/traffic.ts';
import { remoteFaults } from './catalogue/remote.ts';
import { proveEach } from './matrix.ts';

let server: PhonemeServer;
beforeAll(async () => {
  server = await startPhonemeServer();
});
afterAll(() => server[Symbol.asyncDispose]());

proveEach(
  remoteFaults('the phoneme service', () => server, repeated),
  () => ({
    PRONUNCIATION_SCORING: 'on',
    PHONEME_URL: server.url,
    PHONEME_TIMEOUT_MS: '600',
    // They fail as long as the service is away.
    MAX_ATTEMPTS: '50',
  }),
);

/** Conversations in which the user repeats a sentence that nobody has looked up. */
function repeated(stream: string, name: string, n: number): Body[] {
  return Array.from({ length: n }, (_, i) => {
    const digits = `${stream}${name}${i}`.replace(/\d/g, (digit) => 'klmnopqrst'[Number(digit)] ?? '');
    return {
      ...realBody(stream, i, 4),
      conversation_id: `${stream}_${name}_${i}`,
      conversation_logs: undefined,
      conversation_log: [
        { speaker: 'pika', text: 'Repeat after me!' },
        { speaker: 'user', text: `${digits} one`, target_text: `${digits} two` },
      ],
    };
  });
}
