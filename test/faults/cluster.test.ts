import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { findServers, type Server } from '../../scripts/servers/index.ts';
import { statuses, wrongSums } from '../support/client.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { faultEnv } from '../support/fleet.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { createProxy, type TcpProxy } from '../support/proxy.ts';
import { startTraffic } from '../support/traffic.ts';

/**
 * Three brokers with one quorum queue, behind what every such deployment has: something that directs connections to a
 * live node.
 */

let folder: string;
let database: Server;
let cluster: Cluster;
let front: TcpProxy;
let space: Namespace;
const members: Member[] = [];
/** The node that new connections go to. */
let leadTo = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'afterword-fault-'));
  const found = await findServers(['database'], { folder, volumes: null, say: () => {}, ignoreNamed: true });
  database = found.database.server;
  cluster = await startCluster(found.database.how === 'docker' ? 'docker' : 'private');
  front = await createProxy(() => new URL(cluster.nodes[leadTo]?.url ?? ''));
  space = await createNamespace(
    { database: database.url, rabbitmq: front.through(cluster.nodes[0]?.url ?? '') },
    faultEnv,
  );
  members.push(
    await startMember('api', space.env),
    await startMember('worker', space.env),
    await startMember('worker', space.env),
  );
}, 300_000);
afterAll(async () => {
  for (const member of members) expect(await member.stop()).toBe(0);
  await space.dispose();
  await front.close();
  await cluster.dispose();
  await database.dispose();
  await rm(folder, { recursive: true, force: true });
});

test.each([
  ['a follower', 2, 0],
  ['the leader, with all clients connected to it', 0, 1],
])('%s is killed: the queue keeps working without it', { timeout: 300_000 }, async (_name, victim, next) => {
  const before = (await statuses(space.database))['PROCESSED'] ?? 0;
  const traffic = startTraffic({ url: members[0]?.url ?? '', stream: `cluster${victim}`, rate: 40, users: 6 });
  await traffic.more(50);
  await cluster.nodes[victim]?.kill();
  leadTo = next;
  await traffic.more(100);
  // All of it with two nodes out of three.
  await traffic.stop();
  await vi.waitFor(
    async () => expect(await statuses(space.database)).toEqual({ PROCESSED: before + traffic.accepted.size }),
    {
      timeout: 120_000,
      interval: 200,
    },
  );
  expect(await wrongSums(space.database)).toEqual([]);
  expect(traffic.strange).toEqual([]);
  await cluster.nodes[victim]?.start();
});
