import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';
import { memberPort, serveFleetMetrics } from '../start/fleet-metrics.ts';
import { compileCache, leanWorker, threadsEach } from '../start/lean-start.ts';
import { logStart, processLogger } from '../start/log.ts';
import { memoryShare } from '../start/memory.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
/** A member that ran this long before it died is restarted with the shortest delay. */
const stableMs = 30_000;
/** A log line, as JSON or pretty-printed. */
const logLine = /^(?:\{|\[\d\d:)/;

/**
 * Runs one api and WORKER_REPLICAS workers on this machine: starts them, prefixes their output, restarts them with
 * growing delays when they die, and drains them when it is told to stop.
 */
export async function runFleet(given: Config): Promise<void> {
  const config = { ...given, scoringThreads: threadsEach(given) };
  const log = processLogger(config, 'fleet');
  const stop = createStop(log);
  const names = ['api', ...Array.from({ length: config.workerReplicas }, (_, i) => `worker-${i + 1}`)];
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
    if (message.url) log.info({ url: message.url }, 'api is up');
    if (waitingForReady.size > 0) return;
    log.info({ members: names.length }, 'the whole fleet is up');
    tellParent({ ready: true });
  };

  await serveFleetMetrics(config, names, () => waitingForReady.size === 0, log);
  const members = names.map((name, i) =>
    supervise(name, {
      config,
      log,
      until,
      onReady,
      onHopeless: () => hopeless.abort('bad start'),
      metricsPort: memberPort(config, i),
    }),
  );
  await aborted(until);
  await Promise.all(members);
  if (hopeless.signal.aborted)
    throw new StartError('a member of the fleet cannot start as configured; its last lines say why');
  log.info('fleet stopped');
}

async function supervise(
  name: string,
  options: {
    readonly config: Config;
    readonly log: Logger;
    readonly until: AbortSignal;
    readonly onReady: (name: string, message: { url?: string }) => void;
    readonly onHopeless: () => void;
    readonly metricsPort: number;
  },
): Promise<void> {
  const { config, log, until } = options;
  const backoff = createBackoff(500, 30_000);
  let wasReady = false;
  while (!until.aborted) {
    const startedAt = performance.now();
    const child = start(name, { ...config, metricsPort: options.metricsPort }, (message) => {
      wasReady = true;
      options.onReady(name, message);
    });
    const ended = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? String(code)));
      child.once('error', (error) => resolve(String(error)));
    });
    const how = await Promise.race([ended, aborted(until)]);
    if (how === undefined) return drain(child, ended, config.drainMs, name, log);
    if (until.aborted) return;
    // A member that was ready once is configured well enough: something in its environment has changed, such as a
    // password, and may change back.
    if (how === String(exitCodes.config) && !wasReady) {
      log.error({ member: name }, 'cannot start as configured; stopping the fleet');
      return options.onHopeless();
    }
    if (performance.now() - startedAt > stableMs) backoff.reset();
    const waitMs = backoff.next();
    log.error({ member: name, exit: how, waitMs }, 'member died; restarting');
    await pause(waitMs, until);
  }
}

/** A drain takes up to DRAIN_MS, plus some time to close; a member that is still running then is killed. */
async function drain(
  child: ChildProcess,
  ended: Promise<string>,
  drainMs: number,
  name: string,
  log: Logger,
): Promise<void> {
  child.kill('SIGTERM');
  if (await settlesWithin(ended, drainMs + 10_000)) return;
  log.warn({ member: name }, 'did not stop in time; killing it');
  child.kill('SIGKILL');
  await ended;
}

function start(name: string, config: Config, onReady: (message: { url?: string }) => void): ChildProcess {
  const role = name.replace(/-\d+$/, '');
  const child = spawn(process.execPath, [main, role], {
    env: {
      ...compileCache,
      ...(role === 'worker' && leanWorker),
      ...process.env,
      SCORING_THREADS: String(config.scoringThreads),
      METRICS_PORT: String(config.metricsPort),
      ...memoryShare(config.workerReplicas + 1),
      AFTERWORD_ROLE: name,
      LOG_FORMAT: config.logFormat,
    },
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
