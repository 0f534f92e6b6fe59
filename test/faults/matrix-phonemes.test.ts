import { afterAll, beforeAll } from 'vitest';
import { type PhonemeServer, startPhonemeServer } from '../support/phoneme-server.ts';
import { phonemeFaults } from './catalogue/phonemes.ts';
import { proveEach } from './matrix.ts';

let server: PhonemeServer;
beforeAll(async () => {
  server = await startPhonemeServer();
});
afterAll(() => server[Symbol.asyncDispose]());

proveEach(
  phonemeFaults(() => server),
  () => ({
    PRONUNCIATION_SCORING: 'on',
    PHONEME_URL: server.url,
    PHONEME_TIMEOUT_MS: '600',
    // They fail as long as the service is away.
    MAX_ATTEMPTS: '50',
  }),
);
