import type { Redis } from 'ioredis';
import type { RedisLink } from './connect.ts';
import { toMessages } from './encoding.ts';
import { index, keysOf, messagePrefix } from './keys.ts';

/** Keys that are looked at in one step. */
const atOnce = 500;
const sessionKey = /^session:\{(.*)\}:/s;

/**
 * Removes the sessions of a user with everything that was said in them, also what the database does not have yet. Reads
 * the names of all keys, twice: for something that is rare.
 * @param known  sessions of the user that the database knows.
 * @returns those that were there. @throws {PipelineError} transient
 */
export async function eraseSessions(link: RedisLink, userId: string, known: readonly string[]): Promise<string[]> {
  const ids = new Set(known);
  for await (const keys of allKeys(link, 'session:{*}:meta')) {
    // Together: they are sent in one packet.
    const users = await Promise.all(keys.map((key) => link.run<string | null>((redis) => redis.hget(key, 'user'))));
    for (const [i, key] of keys.entries()) {
      const id = sessionKey.exec(key)?.[1];
      if (users[i] === userId && id !== undefined) ids.add(id);
    }
  }
  if (ids.size === 0) return [];
  for (const id of ids) {
    await releasePending(link, id);
    for (const name of [index.dirty, index.leased, index.tokens])
      await link.run((redis) => removeFrom(redis, name, id));
  }
  const found = new Set<string>();
  for await (const keys of allKeys(link, 'session:{*'))
    for (const key of keys) {
      const id = sessionKey.exec(key)?.[1];
      if (id === undefined || !ids.has(id)) continue;
      found.add(id);
      await link.run((redis) => redis.unlink(key));
    }
  await link.run((redis) => redis.del(`{sessions}:sent:${userId}`));
  return [...found];
}

/** Text that waits for the database counts against a limit. */
async function releasePending(link: RedisLink, id: string): Promise<void> {
  const found = await link.run<[string[], string, string[], string[]] | null>((redis) =>
    redis.afterwordPending(...keysOf(id), messagePrefix(id), '-inf', 100_000),
  );
  if (found === null) return;
  const bytes = toMessages(found[2], found[3]).messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  const keys = [index.dirty, index.leased, index.tokens, index.bytes];
  if (bytes > 0) await link.run((redis) => redis.afterwordRelease(...keys, '', '', bytes, ''));
}

async function removeFrom(redis: RedisLink['client'], name: string, id: string): Promise<unknown> {
  return name === index.tokens ? redis.hdel(name, id) : redis.zrem(name, id);
}

async function* allKeys(link: RedisLink, pattern: string): AsyncGenerator<readonly string[]> {
  const { client } = link;
  const nodes = 'nodes' in client ? (client.nodes as (role: 'master') => Redis[])('master') : [client as Redis];
  for (const node of nodes) {
    let cursor = '0';
    do {
      const [next, keys] = await link.run<[string, string[]]>(() =>
        node.scan(cursor, 'MATCH', pattern, 'COUNT', atOnce),
      );
      yield keys;
      cursor = next;
    } while (cursor !== '0');
  }
}
