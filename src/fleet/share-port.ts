import type { ChildProcess } from 'node:child_process';
import cluster from 'node:cluster';

const name = 'AFTERWORD_SHARED_PORT';

/** Whether this process is one of several APIs of a fleet, which accept from one queue of connections. */
export const sharesPort = Boolean(process.env[name]);

/**
 * Starts an API that shares its port with others. `node:cluster` hands each the same listening socket: when one of them
 * ends, what waits in its queue is taken by the others (docs/decisions/0034).
 *
 * @param main  the program; it is in our process group, so that a terminal's Ctrl-C reaches it, too: it leaves that to
 *   us.
 */
export function startSharing(main: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  cluster.setupPrimary({ exec: main, args: [...args], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  return cluster.fork({ ...env, [name]: 'yes' }).process;
}
