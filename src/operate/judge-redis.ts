import { type Finding, isAtLeast, judge } from './finding.ts';

/** Sorted sets learned ZADD LT in 6.2. */
const oldest = [6, 2] as const;

/** @param facts  what `INFO` and `CONFIG GET` say. */
export function judgeRedis(
  facts: ReadonlyMap<string, string>,
  plan: { readonly waitedMs: number; readonly syncIntervalMs: number },
): Finding[] {
  const valkey = facts.get('valkey_version');
  const version = facts.get('redis_version') ?? '0';
  const policy = facts.get('maxmemory-policy') ?? facts.get('maxmemory_policy') ?? 'unknown';
  const maxMemory = Number(facts.get('maxmemory') ?? 0);
  const used = Number(facts.get('used_memory') ?? 0);
  const logs = facts.get('appendonly') === 'yes' || facts.get('aof_enabled') === '1';
  const fsync = facts.get('appendfsync') ?? 'unknown';
  const lag = Math.round(plan.waitedMs / 1_000);
  const mib = (bytes: number) => `${Math.round(bytes / 1_048_576)} MiB`;
  return [
    judge('redis version', isAtLeast(version, oldest), valkey === undefined ? `Redis ${version}` : `Valkey ${valkey}`, {
      fail: 'live sessions need Redis 6.2 or Valkey',
    }),
    judge('redis role', facts.get('role') === 'master', facts.get('role') ?? 'unknown', {
      fail: 'a replica takes no writes: let REDIS_URL name the primary',
    }),
    // Keys that wait for their sync never expire, so that the volatile policies leave them alone.
    judge(
      'redis eviction',
      policy === 'noeviction' || policy.startsWith('volatile-'),
      policy,
      policy.startsWith('allkeys')
        ? { fail: 'Redis may drop messages that the database does not have: CONFIG SET maxmemory-policy noeviction' }
        : { warn: 'unknown: make sure that it is noeviction' },
    ),
    judge(
      'redis memory',
      maxMemory === 0 || used < maxMemory * 0.8,
      maxMemory === 0 ? `${mib(used)}, no limit` : `${mib(used)} of ${mib(maxMemory)}`,
      used >= maxMemory
        ? { fail: 'full: messages go straight to the database, and no session can end; raise maxmemory' }
        : { warn: 'nearly full: raise maxmemory, or lower SESSION_TTL_MINUTES' },
    ),
    judge(
      'redis durability',
      logs && fsync !== 'no',
      logs ? `appendonly, fsync ${fsync}: ${promised(fsync)}` : 'no append-only file',
      {
        warn:
          'if Redis and the API that answered die together, messages since the last sync are lost: ' +
          'set appendonly yes, and appendfsync everysec or always',
      },
    ),
    judge(
      'session sync',
      plan.waitedMs <= 3 * plan.syncIntervalMs,
      lag === 0 ? 'nothing waits' : `the oldest message has waited ${lag} s`,
      {
        warn: 'longer than three times SYNC_INTERVAL: is an API running, and does the database take its writes?',
      },
    ),
  ];
}

function promised(fsync: string): string {
  if (fsync === 'always') return 'nothing that was answered is lost';
  return fsync === 'everysec' ? 'a second may be lost with the machine' : 'the system decides what is lost';
}
