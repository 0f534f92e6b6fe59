import { availableParallelism, cpus, hostname } from 'node:os';
import { createPublisher } from '../broker/index.ts';
import type { Config } from '../config.ts';
import type { ScaleFacts } from '../fleet/index.ts';
import type { Logger } from '../runtime/log.ts';
import { glance, listMembers, maxConnections, openStore, type Store } from '../store/index.ts';
import { countTogether, topologyOf } from './broker.ts';

/** Far less than the shortest time between two looks. */
const deadlineMs = 900;
/** Left for people and tools, as the doctor has it. */
const spareConnections = 5;

/** What autoscaling has to know, from the database (one connection), the broker and this machine. */
export async function openScaleFacts(
  config: Config,
  log: Logger,
  stop: AbortSignal,
): Promise<{ look(workers: number, pids: ReadonlySet<number>): Promise<ScaleFacts>; close(): Promise<void> }> {
  const store = await openStore(config.databaseUrl, {
    poolSize: 1,
    connectTimeoutMs: config.startDeadlineMs || 5_000,
    stop,
  });
  const publisher = createPublisher({
    url: config.rabbitmqUrl,
    topology: topologyOf(config),
    startDeadlineMs: config.startDeadlineMs,
    log,
    name: `afterword fleet ${process.pid}`,
  });
  publisher.firstSession.catch(() => {}); // the members say what is wrong with it
  const machine = createCpuMeter();
  const counter = createCounter();
  return {
    async look(workers, pids) {
      const cpu = machine();
      const [members, backlog, oldest, most] = await Promise.all([
        listMembers(store, deadlineMs),
        countTogether(publisher).then((counts) => counts?.messages ?? null),
        glance(store, deadlineMs),
        maxConnections(store, deadlineMs),
      ]);
      const alive = members.filter(({ state }) => state !== 'stopped');
      const mine = alive.filter((m) => m.role === 'worker' && m.host === hostname() && pids.has(m.pid));
      const running = mine.filter(({ state }) => state === 'running');
      const others = alive.filter((m) => !mine.includes(m) && m.silentMs < 60_000).length;
      const slots = sum(running, (m) => m.concurrency ?? 0);
      return {
        at: performance.now(),
        workers,
        backlog,
        oldestMs: oldest.oldestOpenAt === null ? 0 : Math.max(0, Date.now() + oldest.clockSkewMs - oldest.oldestOpenAt),
        rate: counter(new Map(mine.map((m) => [m.memberId, m.processed ?? 0]))),
        slots,
        slotsInUse: slots === 0 ? 0 : sum(running, (m) => m.inFlight ?? 0) / slots,
        cores: availableParallelism(),
        cpu,
        cpuOfWorker: running.length === 0 ? 0 : sum(running, (m) => m.cpuPercent) / 100 / running.length,
        mostByConnections: Math.max(
          1,
          Math.floor((most - spareConnections - 1 - others * config.databasePoolSize) / config.databasePoolSize),
        ),
      };
    },
    async close() {
      await publisher.close();
      await closeQuietly(store);
    },
  };
}

/** Share of all cores that was in use since the last call; of the whole machine, also in a container. */
function createCpuMeter(): () => number {
  const read = () =>
    cpus().reduce(
      (all, { times }) => ({
        idle: all.idle + times.idle,
        total: all.total + times.user + times.nice + times.sys + times.idle + times.irq,
      }),
      { idle: 0, total: 0 },
    );
  let before = read();
  return () => {
    const now = read();
    const total = now.total - before.total;
    const idle = now.idle - before.idle;
    before = now;
    return total === 0 ? 0 : 1 - idle / total;
  };
}

/** Heartbeats come every ten seconds: over less, a rate would mostly be nothing. */
const rateOverMs = 20_000;

/** Counts per second over members that begin at zero when they start. */
function createCounter(): (processed: ReadonlyMap<string, number>) => number {
  const seen = [{ at: performance.now(), total: 0 }];
  let before: ReadonlyMap<string, number> = new Map();
  return (processed) => {
    const more = [...processed].reduce((n, [id, count]) => n + Math.max(0, count - (before.get(id) ?? 0)), 0);
    before = processed;
    const now = { at: performance.now(), total: (seen.at(-1)?.total ?? 0) + more };
    seen.push(now);
    while (seen.length > 2 && now.at - (seen[1]?.at ?? now.at) >= rateOverMs) seen.shift();
    const from = seen[0] ?? now;
    return now.at === from.at ? 0 : ((now.total - from.total) * 1_000) / (now.at - from.at);
  };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

async function closeQuietly(store: Store): Promise<void> {
  await store.close().catch(() => {});
}
