import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';
import { type Supervised, startSharing, supervise, writePidFile } from '../fleet/index.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';
import { memberPort, serveFleetMetrics } from '../start/fleet-metrics.ts';
import { compileCache, leanWorker, threadsEach } from '../start/lean-start.ts';
import { logStart, processLogger } from '../start/log.ts';
import { memoryShare } from '../start/memory.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
/** A log line, as JSON or pretty-printed. */
const logLine = /^(?:\{|\[\d\d:)/;

/**
 * Runs API_REPLICAS apis and WORKER_REPLICAS workers on this machine: starts them, prefixes their output, restarts them
 * with growing delays when they die, or one after the other on request, and drains them when it is told to stop.
 */
export async function runFleet(given: Config): Promise<void> {
  const config = { ...given, scoringThreads: threadsEach(given) };
  const log = processLogger(config, 'fleet');
  const stop = createStop(log);
  const names = [...namesOf('api', config.apiReplicas), ...namesOf('worker', config.workerReplicas, true)];
  logStart(config, log);
  log.info(
    { members: names.length, threads: config.scoringThreads, concurrency: config.concurrency },
    'starting the fleet',
  );
  const hopeless = new AbortController();
  const until = AbortSignal.any([stop.signal, hopeless.signal]);
  const waitingForReady = new Set(names);
  const onReady = (name: string, message: { url?: string }) => {
    if (!waitingForReady.delete(name)) return;
    if (message.url) log.info({ url: message.url }, `${name} is up`);
    if (waitingForReady.size > 0) return;
    log.info({ members: names.length }, 'the whole fleet is up');
    tellParent({ ready: true });
  };

  await serveFleetMetrics(config, names, () => waitingForReady.size === 0, log);
  const members = names.map((name, i) =>
    supervise(name, {
      start: (ready) => start(name, { ...config, metricsPort: memberPort(config, i) }, ready),
      drainMs: config.drainMs,
      until,
      onReady: (message) => onReady(name, message),
      onHopeless: () => hopeless.abort('bad start'),
      log,
    }),
  );
  const removePidFile = writePidFile(config.port);
  const restarting = restartOnWish(members, stop, until, log);
  await aborted(until);
  await Promise.all([restarting, ...members.map(({ ended }) => ended)]);
  removePidFile();
  if (hopeless.signal.aborted)
    throw new StartError('a member of the fleet cannot start as configured; its last lines say why');
  log.info('fleet stopped');
}

function namesOf(role: 'api' | 'worker', replicas: number, isNumbered = replicas > 1): string[] {
  return isNumbered ? Array.from({ length: replicas }, (_, i) => `${role}-${i + 1}`) : [role];
}

/**
 * On SIGUSR2 (`afterword restart`) or SIGHUP, one member after the other: the rest of the fleet goes on. What comes
 * meanwhile begins it once more. A terminal that is closed sends SIGHUP, too: then the fleet ends with it.
 */
async function restartOnWish(
  members: readonly Supervised[],
  stop: AbortController,
  until: AbortSignal,
  log: Logger,
): Promise<void> {
  let wish = Promise.withResolvers<void>();
  const isAtTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on('SIGUSR2', () => wish.resolve());
  process.on('SIGHUP', () => (isAtTerminal ? stop.abort('SIGHUP') : wish.resolve()));
  while (!until.aborted) {
    await Promise.race([wish.promise, aborted(until)]);
    wish = Promise.withResolvers();
    for (const member of members) {
      if (until.aborted) return;
      log.info({ member: member.name }, 'restarting');
      await member.restart();
    }
    if (!until.aborted) log.info({ members: members.length }, 'every member was restarted');
  }
}

function start(name: string, config: Config, onReady: (message: { url?: string }) => void): ChildProcess {
  const role = name.replace(/-\d+$/, '');
  const env = {
    ...compileCache,
    ...(role === 'worker' && leanWorker),
    ...process.env,
    SCORING_THREADS: String(config.scoringThreads),
    METRICS_PORT: String(config.metricsPort),
    ...memoryShare(config.workerReplicas + config.apiReplicas),
    AFTERWORD_ROLE: name,
    LOG_FORMAT: config.logFormat,
  };
  const child =
    role === 'api' && config.apiReplicas > 1
      ? startSharing(main, [role], env)
      : spawn(process.execPath, [main, role], {
          env,
          // The channel is a leash: a member whose supervisor was killed drains on its own.
          stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
          // Not in our process group: a terminal's Ctrl-C reaches only us, and we pass it on.
          detached: true,
        });
  child.on('message', (message) => {
    if ((message as { ready?: unknown } | null)?.ready === true) onReady(message as { url?: string });
  });
  // Log lines carry their role; any other output gets it as a prefix.
  for (const [stream, out] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) =>
      out.write(logLine.test(line) ? `${line}\n` : `[${name}] ${line}\n`),
    );
  }
  return child;
}
