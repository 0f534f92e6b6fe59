import { setTimeout as delay } from 'node:timers/promises';
import { type Config, maskUrl } from '../config.ts';
import { type ReadFrom, type ReplicaWatch, readFrom, watchLag } from '../replica/index.ts';
import type { Logger } from '../runtime/log.ts';
import { beatForReplicas, openStore, readBeat, type Store } from '../store/index.ts';

/** A look that takes longer finds the replica away. */
const lookMs = 1_000;
/**
 * A beat may be three seconds old when it is compared, and what a look found stands until the next one: a second later,
 * and at most two deadlines.
 */
const slackMs = 7_000;
const connectMs = 2_000;

export type Replica = {
  readonly watch: Pick<ReplicaWatch, 'isFresh' | 'lagMs'>;
  /** Null while it must not be asked. */
  store(): Store | null;
  readonly read: ReadFrom<Store>;
  close(): Promise<void>;
};

/**
 * The read replica of `DATABASE_READ_URL`, opened when it is first there: without it, everything is read from the
 * primary. Null: none is configured.
 */
export function startReplica(config: Config, primary: Store, log: Logger): Replica | null {
  const url = config.databaseReadUrl;
  if (url === null) return null;
  let opened: Store | null = null;
  const watch = watchLag({
    beat: () => beatForReplicas(primary, lookMs),
    async readBeat() {
      opened ??= await openStore(url, { poolSize: config.databasePoolSize, connectTimeoutMs: connectMs });
      return readBeat(opened, lookMs);
    },
    maxLagMs: config.databaseReadLagMs,
    log: log.child({ replica: maskUrl(url) }),
  });
  const store = () => (watch.isFresh ? opened : null);
  return {
    watch,
    store,
    read: readFrom({ primary, replica: store, onFailure: () => watch.distrust() }),
    async close() {
      await watch.close();
      await opened?.close();
    },
  };
}

/** How far the replica may be behind while it is asked. */
export function mostBehindMs({ databaseReadLagMs }: Config): number {
  return databaseReadLagMs + slackMs;
}

/** For a command: the replica after two looks, which is what it takes to know how far it is behind. */
export async function replicaForTool(config: Config, primary: Store, log: Logger): Promise<Replica | null> {
  const replica = startReplica(config, primary, log);
  if (replica !== null) for (let i = 0; i < 30 && !replica.watch.isFresh; i++) await delay(100);
  return replica;
}
