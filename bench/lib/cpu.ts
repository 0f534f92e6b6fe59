import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds that a process has used, user and system, all threads (Linux). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Fields 14 and 15 of proc(5); USER_HZ is 100 on every Linux that Node runs on.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Pids of the processes whose command line contains all of `words`. */
function findPids(...words: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return words.every((word) => line.includes(word));
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

const servers = { database: ['mariadbd', 'mysqld'], broker: ['beam.smp'] } as const;

export type CpuOfEach = Readonly<Record<'ours' | 'database' | 'broker', number>>;

/** As table columns, with their sum. */
export function cpuColumns({ ours, database, broker }: CpuOfEach): Record<string, number> {
  return { 'µs of CPU': ours + database + broker, 'µs ours': ours, 'µs database': database, 'µs broker': broker };
}

/**
 * CPU microseconds per event that `work` counts: of our processes, and of all database servers and brokers on this
 * machine, so run it with nothing else on the machine.
 */
export async function cpuOfEach(pids: readonly number[], work: () => Promise<number>): Promise<CpuOfEach> {
  const sum = (of: readonly number[]) => of.reduce((total, pid) => total + cpuSeconds(pid), 0);
  const look = () => ({
    ours: sum(pids),
    database: sum(servers.database.flatMap((name) => findPids(name))),
    broker: sum(servers.broker.flatMap((name) => findPids(name))),
  });
  const before = look();
  const events = await work();
  const after = look();
  const each = (key: keyof typeof before) => ((after[key] - before[key]) / events) * 1e6;
  return { ours: each('ours'), database: each('database'), broker: each('broker') };
}
