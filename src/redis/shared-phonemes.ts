import type { SharedCache } from '../pronunciation/ports.ts';
import { createBackoff } from '../runtime/wait.ts';
import { openClient } from './client.ts';

/** A cache is worth no more waiting than this: phonemes can be had elsewhere. */
const commandTimeoutMs = 250;

/**
 * Phonemes that any process has found, for all of them. While Redis is away or full there is no such cache, and nobody
 * waits for it.
 */
export function sharedPhonemes(options: {
  readonly url: string;
  readonly name: string;
  readonly ttlMs: number;
}): SharedCache & { close(): Promise<void> } {
  const backoff = createBackoff(500, 30_000);
  const { client } = openClient(options.url, options.name, { commandTimeoutMs, delayMs: () => backoff.next() });
  client.on('ready', () => backoff.reset());
  // Who cannot do without Redis says that it is away.
  client.on('error', () => {});
  const keyOf = (key: string) => `phonemes:${key}`;
  return {
    async get(key) {
      return client.status === 'ready' ? client.get(keyOf(key)) : null;
    },
    async set(key, ipa) {
      if (client.status === 'ready') await client.set(keyOf(key), ipa, 'PX', options.ttlMs);
    },
    async close() {
      client.disconnect();
    },
  };
}
