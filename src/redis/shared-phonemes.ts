import type { SharedCache } from '../pronunciation/ports.ts';
import type { Logger } from '../runtime/log.ts';
import { createBackoff } from '../runtime/wait.ts';
import { openClient } from './client.ts';

/** A cache is worth no more waiting than this: phonemes can be had elsewhere. */
const commandTimeoutMs = 250;
/** After a failure, nobody waits for it for a while. */
const restMs = 5_000;

/**
 * Phonemes that any process has found, for all of them. While Redis is away or slow there is no such cache. In a Redis
 * that would rather refuse the messages of live sessions than let phonemes go, there is none either.
 */
export function sharedPhonemes(options: {
  readonly url: string;
  readonly name: string;
  readonly ttlMs: number;
  readonly log: Logger;
}): SharedCache & { close(): Promise<void> } {
  const { log } = options;
  const backoff = createBackoff(500, 30_000);
  const { client } = openClient(options.url, options.name, { commandTimeoutMs, delayMs: () => backoff.next() });
  let isAllowed = false;
  let restsUntil = 0;
  let hasComplained = false;

  client.on('ready', async () => {
    backoff.reset();
    hasComplained = false;
    isAllowed = false;
    await findOut();
  });

  async function findOut(): Promise<void> {
    let memory: string;
    try {
      memory = await client.info('memory');
    } catch (error) {
      // It may be slow, or this user may not ask (NOPERM): without knowing, nothing is put at risk.
      log.debug({ err: error }, 'phonemes are not shared yet: Redis has not said how it uses its memory');
      setTimeout(() => client.status === 'ready' && void findOut(), restMs).unref();
      return;
    }
    const of = (key: string) => new RegExp(`${key}:(\\S+)`).exec(memory)?.[1];
    if (of('maxmemory') !== '0' && of('maxmemory_policy') === 'noeviction')
      log.info('phonemes are not shared: Redis has maxmemory and noeviction; set maxmemory-policy volatile-lru');
    else isAllowed = true;
  }
  client.on('error', (error: NodeJS.ErrnoException) => {
    if (!hasComplained) log.warn({ reason: error.code ?? 'error' }, 'phonemes are not shared: Redis cannot be used');
    hasComplained = true;
  });

  const isUsable = () => client.status === 'ready' && isAllowed && performance.now() >= restsUntil;
  const orRest = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      restsUntil = performance.now() + restMs;
      // Answers to what was given up would be kept until they come.
      if (error instanceof Error && error.message === 'Command timed out') client.disconnect(true);
      throw error;
    }
  };
  const keyOf = (key: string) => `phonemes:${key}`;
  return {
    async get(key) {
      return isUsable() ? orRest(client.get(keyOf(key))) : null;
    },
    async set(key, ipa) {
      if (isUsable()) await orRest(client.set(keyOf(key), ipa, 'PX', options.ttlMs));
    },
    async close() {
      client.disconnect();
    },
  };
}
