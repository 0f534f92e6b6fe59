import { fileURLToPath } from 'node:url';
import { expect, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { call } from './client.ts';
import { type Member, startMember } from './member.ts';
import { createNamespace, type Namespace } from './namespace.ts';
import { type OwnServers, startOwnServers } from './own-servers.ts';
import { createProxy, type TcpProxy } from './proxy.ts';
import { serverProcesses } from './server-processes.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** A place in the fleet, filled again when its process dies, as any supervisor does. */
type Post = { readonly role: 'api' | 'worker'; readonly member: Member; readonly restarts: number };

/**
 * A whole deployment that tests can break: its own servers, proxies between them and the processes, and a supervisor.
 */
export type Fleet = {
  readonly servers: OwnServers;
  readonly space: Namespace;
  /** `redis` leads nowhere in a fleet without live sessions. */
  readonly network: { readonly database: TcpProxy; readonly broker: TcpProxy; readonly redis: TcpProxy };
  readonly url: string;
  /** A failover: new connections go to another server. */
  pointRedisAt(url: string): void;
  readonly api: Post;
  readonly workers: readonly Post[];
  /** Starts one more process, without a supervisor. */
  start(role: 'api' | 'worker', env?: Record<string, string>, options?: { mayDie?: boolean }): Promise<Member>;
  /** Resolves when every post has a process that is ready, and the API has both servers. */
  healthy(): Promise<void>;
  /** Sends SIGTERM to a post's process and waits for its successor. @returns the exit code. */
  restart(post: Post): Promise<number | NodeJS.Signals>;
  /** Every worker that is alive, supervised or not. */
  livingWorkers(): Member[];
  /** How many lines with this text the processes of the fleet have printed, in all. */
  said(text: string): number;
  /**
   * Ends everything.
   * @returns exit codes, connections still open on the servers, and processes still alive.
   */
  stop(): Promise<{ codes: (number | NodeJS.Signals)[]; connections: string[]; leaked: number[] }>;
};

/** Short waits, so that what takes minutes in production takes seconds here. */
export const faultEnv: Record<string, string> = {
  LOG_LEVEL: 'info',
  SCORER_MODULE: fixture('moody-scorer.ts'),
  SCORING_THREADS: '1',
  SCORING_TIMEOUT_MS: '2000',
  SCORING_THREAD_MEMORY_MB: '64',
  MAX_ATTEMPTS: '3',
  RETRY_BASE_MS: '200',
  RETRY_CAP_MS: '2000',
  PUBLISH_GRACE_MS: '2000',
  LOST_AFTER_MS: '4000',
  REPUBLISH_AFTER_MS: '8000',
  DRAIN_MS: '3000',
  RELAY_INTERVAL_MS: '300',
};

export async function startFleet(options: {
  readonly workers: number;
  readonly env?: Record<string, string>;
  readonly withRedis?: boolean;
  /** That Redis is a cluster of one node, which checks all the same that a command stays in one slot. */
  readonly isCluster?: boolean;
}): Promise<Fleet> {
  const { isCluster = false, withRedis = isCluster } = options;
  const servers = await startOwnServers({ withRedis, ...(isCluster && { redisArgs: ofCluster }) });
  if (isCluster) await servers.redis?.cli('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  const urls = { database: servers.database.url, rabbitmq: servers.broker.url };
  const space = await createNamespace(urls, { ...faultEnv, ...options.env }, { ownUser: true });
  const { DATABASE_URL: database = '', RABBITMQ_URL: rabbitmq = '' } = space.env;
  const redis = servers.redis?.url ?? 'redis://127.0.0.1:1';
  let redisAt = new URL(redis);
  const network = {
    database: await createProxy(new URL(database)),
    broker: await createProxy(new URL(rabbitmq)),
    redis: await createProxy(() => redisAt),
  };
  const port = await freePort();
  const env = {
    ...space.env,
    DATABASE_URL: network.database.through(database),
    // A silent peer is found in seconds.
    RABBITMQ_URL: `${network.broker.through(rabbitmq)}?heartbeat=2`,
    ...(servers.redis !== null && {
      REDIS_URL: `${network.redis.through(redis)}${isCluster ? '?cluster=true' : ''}`,
    }),
  };
  let stopping = false;
  const past: { readonly role: string; readonly member: Member; ended: boolean }[] = [];
  const keep = (role: string, member: Member) => {
    const entry = { role, member, ended: false };
    past.push(entry);
    void member.ended.then(() => {
      entry.ended = true;
    });
  };
  const posts = [fill('api'), ...Array.from({ length: options.workers }, () => fill('worker'))];
  await Promise.all(posts.map((p) => p.filled()));
  const [api, ...workers] = posts;

  function fill(role: 'api' | 'worker') {
    let member: Member | undefined;
    let restarts = -1;
    let next = put();
    async function put(): Promise<void> {
      const fresh = await startMember(
        role,
        { ...env, ...(role === 'api' && { PORT: String(port) }) },
        { mayDie: true },
      );
      keep(role, fresh);
      member = fresh;
      restarts++;
      void fresh.ended.then(() => {
        if (!stopping) next = put();
      });
    }
    return {
      role,
      get member() {
        if (!member) throw new Error('not started yet');
        return member;
      },
      get restarts() {
        return restarts;
      },
      /** Resolves when there is a process again. */
      filled: () => next,
    };
  }

  return {
    servers,
    space,
    network,
    url: `http://127.0.0.1:${port}`,
    pointRedisAt(url) {
      redisAt = new URL(url);
    },
    api: api as Post,
    workers,
    async start(role, more = {}, { mayDie = false } = {}) {
      const member = await startMember(role, { ...env, ...more }, { mayDie });
      keep(role, member);
      return member;
    },
    async healthy() {
      await Promise.all(posts.map((p) => p.filled()));
      await vi.waitFor(
        async () => expect((await call(`http://127.0.0.1:${port}`, 'GET', '/readyz')).body.status).toBe('ready'),
        {
          timeout: 90_000,
          interval: 50,
        },
      );
    },
    async restart(post) {
      const code = await post.member.stop();
      await (post as (typeof posts)[number]).filled();
      return code;
    },
    livingWorkers: () => past.filter((p) => p.role === 'worker' && !p.ended).map((p) => p.member),
    said: (text) => past.reduce((n, { member }) => n + member.lines.filter((line) => line.includes(text)).length, 0),
    async stop() {
      stopping = true;
      // A failed fault may have left the network broken, and processes need it to start and to stop.
      await Promise.all(Object.values(network).map((proxy) => proxy.restore()));
      await Promise.all(posts.map((p) => p.filled()));
      const codes = await Promise.all(posts.map((p) => p.member.stop()));
      const connections = await leftConnections(servers, space);
      const leaked = past.filter((p) => !p.ended).map((p) => p.member.pid);
      await space.dispose();
      await Promise.all(Object.values(network).map((proxy) => proxy.close()));
      await servers.dispose();
      return { codes, connections, leaked };
    },
  };
}

/** A node on its own does not know the address at which others reach it. */
const ofCluster = (host: string, port: number) => [
  ...['--cluster-enabled', 'yes'],
  ...['--cluster-announce-ip', host === 'localhost' ? '127.0.0.1' : host, '--cluster-announce-port', String(port)],
];

/** Connections of the fleet's own database user, and all of Afterword's on the broker. */
async function leftConnections(servers: OwnServers, space: Namespace): Promise<string[]> {
  const user = new URL(space.env['DATABASE_URL'] ?? '').username;
  const database = (await serverProcesses(space.database)).filter((p) => p.user === user);
  const broker = await servers.broker.ctl('list_connections', '--quiet', '--no-table-headers', 'client_properties');
  return [
    ...database.map(({ id }) => `database ${id}`),
    ...broker.split('\n').filter((line) => line.includes('afterword')),
  ];
}
