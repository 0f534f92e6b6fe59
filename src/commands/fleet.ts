import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';
import { autoscale, type Crew, createCrew, startSharing, supervise, writePidFile } from '../fleet/index.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';
import { memberPort, serveFleetMetrics } from '../start/fleet-metrics.ts';
import { compileCache, leanWorker, threadsEach } from '../start/lean-start.ts';
import { logStart, processLogger } from '../start/log.ts';
import { memoryShare } from '../start/memory.ts';
import { openScaleFacts } from '../start/scale-facts.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
/** A log line, as JSON or pretty-printed. */
const logLine = /^(?:\{|\[\d\d:)/;

/**
 * Runs API_REPLICAS apis and WORKER_REPLICAS workers on this machine, or as many workers as there is work for: starts
 * them, prefixes their output, restarts them with growing delays when they die, or one after the other on request, and
 * drains them when it is told to stop.
 */
export async function runFleet(given: Config): Promise<void> {
  const config = { ...given, scoringThreads: threadsEach(given) };
  const log = processLogger(config, 'fleet');
  const stop = createStop(log);
  logStart(config, log);
  const first = config.apiReplicas + config.workerReplicas;
  log.info({ members: first, threads: config.scoringThreads, concurrency: config.concurrency }, 'starting the fleet');
  const hopeless = new AbortController();
  const until = AbortSignal.any([stop.signal, hopeless.signal]);
  // Metrics ports are given by place, so that each place keeps its port.
  const apis = namesOf('api', config.apiReplicas);
  const places = [...apis, ...namesOf('worker', config.mostWorkers, true)];
  const crew = createCrew({
    supervise: (name, until, onReady) =>
      supervise(name, {
        start: (ready) => start(name, { ...config, metricsPort: memberPort(config, places.indexOf(name)) }, ready),
        drainMs: config.drainMs,
        until,
        onReady,
        // A worker that comes later must not take the others with it.
        mayGiveUp: () => !crew.wasUp,
        onHopeless: () => hopeless.abort('bad start'),
        log,
      }),
    apis,
    until,
    onReady(name, { url }, waiting) {
      if (url) log.info({ url }, `${name} is up`);
      if (waiting > 0) return;
      log.info({ members: first }, 'the whole fleet is up');
      tellParent({ ready: true });
    },
  });
  await serveFleetMetrics(config, { places, isRunning: crew.isRunning, ready: () => crew.isUp }, log);
  crew.scaleTo(config.workerReplicas);
  const removePidFile = writePidFile(config.port);
  const scaling = startScaling(config, crew, until, log);
  const restarting = restartOnWish(crew, stop, until, log);
  await aborted(until);
  await Promise.all([restarting, scaling, crew.ended()]);
  removePidFile();
  if (hopeless.signal.aborted)
    throw new StartError('a member of the fleet cannot start as configured; its last lines say why');
  log.info('fleet stopped');
}

/** Does nothing without `WORKER_REPLICAS_MIN` and `_MAX`. */
async function startScaling(config: Config, crew: Crew, until: AbortSignal, log: Logger): Promise<void> {
  const { scale } = config;
  if (scale === null) return;
  const { min, max, intervalMs } = scale;
  log.info({ min, max, every: `${intervalMs / 1_000} s` }, 'autoscaling');
  try {
    const facts = await openScaleFacts(config, log, until);
    try {
      await autoscale({
        limits: { ...scale, coolDownMs: 2 * intervalMs },
        intervalMs,
        workers: () => crew.workers,
        look: (workers) => facts.look(workers, crew.workerPids),
        scaleTo: (workers) => crew.scaleTo(workers),
        stop: until,
        log,
      });
    } finally {
      await facts.close();
    }
  } catch (error) {
    if (!until.aborted) log.error({ err: error }, 'autoscaling has ended; the workers stay as they are');
  }
}

function namesOf(role: 'api' | 'worker', replicas: number, isNumbered = replicas > 1): string[] {
  return isNumbered ? Array.from({ length: replicas }, (_, i) => `${role}-${i + 1}`) : [role];
}

/**
 * On SIGUSR2 (`afterword restart`) or SIGHUP, one member after the other: the rest of the fleet goes on. What comes
 * meanwhile begins it once more. A terminal that is closed sends SIGHUP, too: then the fleet ends with it.
 */
async function restartOnWish(crew: Crew, stop: AbortController, until: AbortSignal, log: Logger): Promise<void> {
  let wish = Promise.withResolvers<void>();
  const isAtTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on('SIGUSR2', () => wish.resolve());
  process.on('SIGHUP', () => (isAtTerminal ? stop.abort('SIGHUP') : wish.resolve()));
  while (!until.aborted) {
    await Promise.race([wish.promise, aborted(until)]);
    wish = Promise.withResolvers();
    const members = crew.members();
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
    ...memoryShare(config.mostWorkers + config.apiReplicas),
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
