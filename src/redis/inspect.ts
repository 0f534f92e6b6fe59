import type { Redis } from 'ioredis';
import type { RedisLink } from './connect.ts';

const settings = ['maxmemory', 'maxmemory-policy', 'appendonly', 'appendfsync'] as const;

/** `redis_version`, `used_memory`, `role` and their like, and the settings above if the server tells them. */
export async function redisFacts(link: RedisLink): Promise<ReadonlyMap<string, string>> {
  const facts = new Map<string, string>();
  const info = await link.run<string>((client) => client.info());
  for (const line of info.split('\r\n')) {
    const at = line.indexOf(':');
    if (at > 0) facts.set(line.slice(0, at), line.slice(at + 1));
  }
  // Managed servers forbid CONFIG; `maxmemory_policy` and `aof_enabled` are in INFO, too.
  for (const name of settings) {
    const value = await link
      .run<Record<string, string> | string[]>((client) => (client as unknown as Redis).config('GET', name))
      .catch(() => null);
    const text = Array.isArray(value) ? value[1] : value?.[name];
    if (text !== undefined) facts.set(name, text);
  }
  return facts;
}
