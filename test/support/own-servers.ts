import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Broker, findServers, type Server } from '../../scripts/servers/index.ts';

/** A database and a broker that a fault test may kill; never the ones named in the environment. */
export type OwnServers = { readonly database: Server; readonly broker: Broker; dispose(): Promise<void> };

export async function startOwnServers(): Promise<OwnServers> {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-fault-'));
  const found = await findServers(['database', 'broker'], { folder, volumes: null, say: () => {}, ignoreNamed: true });
  const [database, broker] = [found.database.server, found.broker.server];
  return {
    database,
    broker,
    async dispose() {
      await Promise.all([database.dispose(), broker.dispose()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
