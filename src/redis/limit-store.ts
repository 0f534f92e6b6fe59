import { createBackoff } from '../runtime/wait.ts';
import { type Client, openClient } from './client.ts';

/** A limit is not worth more waiting: each API then counts for itself. */
const commandTimeoutMs = 250;

/** A connection for the counts of limits, which all APIs share. */
export function limitStore(url: string, name: string): { readonly client: Client; close(): void } {
  const backoff = createBackoff(500, 30_000);
  const { client } = openClient(url, name, { commandTimeoutMs, delayMs: () => backoff.next() });
  client.on('ready', () => backoff.reset());
  // The link of the sessions says that Redis is away.
  client.on('error', () => {});
  return { client, close: () => client.disconnect() };
}
