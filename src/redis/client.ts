import { Cluster, type ClusterOptions, Redis, type RedisOptions, type Result } from 'ioredis';
import { scripts } from './scripts/index.ts';

export type Client = (Redis | Cluster) & Scripted;
/** Arguments are checked where the scripts are called (live-sessions.ts). */
type Scripted = Record<keyof typeof scripts, (...args: readonly (string | number)[]) => Result<unknown, never>>;

const connectTimeoutMs = 3_000;

/**
 * One connection, or one to each node of a cluster, that is made again whenever it is lost: after `delayMs()`.
 *
 * @param url  `redis://` or `rediss://` (TLS); for a cluster, `?cluster=true` and any number of hosts.
 */
export function openClient(
  url: string,
  name: string,
  { commandTimeoutMs, delayMs }: { readonly commandTimeoutMs: number; readonly delayMs: () => number },
): { client: Client; isCluster: boolean } {
  const parsed = new URL(url);
  const isCluster = parsed.searchParams.get('cluster') === 'true';
  const common = {
    connectionName: name,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    keepAlive: 10_000,
    // While Redis is away the database takes over: nothing may wait in a queue that only this process knows.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    ...(parsed.username && { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password && { password: decodeURIComponent(parsed.password) }),
    ...(parsed.protocol === 'rediss:' && { tls: {} }),
  } satisfies RedisOptions;
  const nodes = [parsed.host, ...parsed.searchParams.getAll('node')].map(hostAndPort);
  const client = isCluster
    ? new Cluster(nodes, {
        scripts,
        enableAutoPipelining: true,
        // Its own check whether it is ready waits in this queue; `run` lets nothing else into it.
        enableOfflineQueue: true,
        clusterRetryStrategy: delayMs,
        redisOptions: common,
      } satisfies ClusterOptions)
    : new Redis({
        ...common,
        ...nodes[0],
        db: Number(parsed.pathname.slice(1) || 0),
        scripts,
        enableAutoPipelining: true,
        retryStrategy: delayMs,
        // After a failover the old primary refuses writes: find the new one behind the same name.
        reconnectOnError: (error) => error.message.startsWith('READONLY'),
      });
  return { client: client as unknown as Client, isCluster };
}

function hostAndPort(host: string): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${host}`);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || 6379) };
}
