import type { Config } from '../config.ts';
import { findFleet } from '../fleet/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { printLine } from '../terminal/print.ts';

/** Tells the fleet of this user on this machine, at PORT, to restart its members one after the other. */
export function runRestart(config: Config): number {
  const pid = findFleet(config.port);
  if (pid === null) {
    process.stderr.write(
      `afterword: no fleet of yours runs on port ${config.port} of this machine; with another PORT, set that\n`,
    );
    return exitCodes.failed;
  }
  process.kill(pid, 'SIGUSR2');
  printLine(`the fleet (process ${pid}) restarts its members, one after the other; its log says when it is done`);
  return exitCodes.ok;
}
