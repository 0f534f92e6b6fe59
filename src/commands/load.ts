import { type FileHandle, open } from 'node:fs/promises';
import { isIP } from 'node:net';
import {
  closedLoop,
  createLoadClient,
  createRecorder,
  describeRun,
  exceeded,
  type Figures,
  htmlReport,
  type LoadShape,
  liveLine,
  type Operation,
  openLoop,
  parseThreshold,
  type Sample,
  type ShapeName,
  shapes,
  type Threshold,
} from '../load-test/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { baseOf } from '../send/api-client.ts';
import { readBodies } from '../size/index.ts';
import { quiet } from '../start/tool.ts';
import { printLine, printReport } from '../terminal/print.ts';

type LoadOptions = {
  readonly url: string;
  readonly profile: ShapeName;
  readonly users?: number;
  readonly spawnRate?: number;
  /** Milliseconds. */
  readonly runTime?: number;
  readonly think?: readonly [number, number];
  /** Requests per second of an open loop; not set: a closed one. */
  readonly rate?: number;
  readonly mix: Readonly<Record<Operation, number>>;
  readonly body?: string;
  /** Such as `p99>100ms`. */
  readonly failIf: readonly string[];
  readonly iOwnThisHost: boolean;
  readonly json: boolean;
  readonly html?: string;
};

const sampleMs = 2_000;
const mostConnections = 1_000;

/**
 * Virtual users submit conversations and look at their status.
 * @returns exit code: 1 if a threshold of `--fail-if` was exceeded or nothing was answered, 3 if it was stopped early.
 */
export async function runLoad(options: LoadOptions): Promise<number> {
  const base = baseOf(options.url);
  const limits = options.failIf.map(toThreshold);
  requireOwnHost(base, options.iOwnThisHost);
  refuseUsersOfOpenLoop(options);
  const preset = shapes[options.profile];
  const shape = {
    users: options.users ?? preset.users,
    spawnRate: options.spawnRate ?? preset.spawnRate,
    runTimeMs: options.runTime ?? preset.runTimeMs,
    thinkMs: options.think ?? preset.thinkMs,
  };
  const { next: nextBody } = await readBodies(options.body ?? null);
  const recorder = createRecorder();
  const connections = Math.min(mostConnections, options.rate === undefined ? shape.users : mostConnections);
  await using stack = new AsyncDisposableStack();
  const page = options.html === undefined ? null : stack.adopt(await openPage(options.html), (file) => file.close());
  const client = stack.adopt(createLoadClient({ base, connections, mix: options.mix, nextBody, recorder }), (c) =>
    c.close(),
  );
  if ((await client.queued()) === null && !(await answers(base)))
    throw new StartError(`no API answers at ${base}: start one with scripts/up, or give its address with --url`, {
      mayPass: true,
    });

  const how = describe(base, options.profile, shape, options.rate);
  process.stderr.write(`${how}\n`);
  const { signal } = createStop(quiet);
  const began = performance.now();
  const crowd =
    options.rate === undefined
      ? closedLoop(shape, (user) => client.act(user), signal)
      : openLoop({ rate: options.rate, runTimeMs: shape.runTimeMs }, (user, dueAt) => client.act(user, dueAt), signal);
  const samples: Sample[] = [];
  const look = async () => {
    const queued = await client.queued();
    const sample = recorder.sample({ seconds: (performance.now() - began) / 1_000, users: crowd.users(), queued });
    samples.push(sample);
    process.stderr.write(`${liveLine(sample)}\n`);
  };
  const looking = setInterval(() => void look(), sampleMs);
  await crowd.done;
  clearInterval(looking);
  await look();
  const seconds = (performance.now() - began) / 1_000;
  const totals = recorder.totals();
  const broken = exceeded(limits, totals.all);
  if (!hasAnswers(totals.all)) broken.push('no request was answered as expected');
  const lines = describeRun(how, totals, seconds, broken);
  if (signal.aborted) lines.push('stopped early: the thresholds are not decided');
  if (options.json) printReport({ ...shape, rate: options.rate ?? null, seconds, totals, samples, exceeded: broken });
  else printLine(`\n${lines.join('\n')}`);
  await page?.writeFile(await htmlReport(lines, samples));
  if (signal.aborted) return exitCodes.undecided;
  return broken.length === 0 ? exitCodes.ok : exitCodes.failed;
}

function hasAnswers({ requests, errors }: Figures): boolean {
  return requests > errors.reduce((sum, { count }) => sum + count, 0);
}

/** @throws {UsageError} */
function refuseUsersOfOpenLoop({ rate, users, spawnRate, think }: LoadOptions): void {
  if (rate === undefined) return;
  const [given] = Object.entries({ '--users': users, '--spawn-rate': spawnRate, '--think': think }).filter(
    ([, value]) => value !== undefined,
  );
  if (given !== undefined) throw new UsageError(`${given[0]} does not go with --rate: an open loop has no fixed users`);
}

function describe(
  base: string,
  name: ShapeName,
  { users, spawnRate, runTimeMs, thinkMs }: LoadShape,
  rate: number | undefined,
): string {
  const time = `${Math.round(runTimeMs / 1_000)} s`;
  if (rate !== undefined)
    return `${base}: open loop, ${rate} requests per second for ${time}, counted from when each was due`;
  const [least, most] = thinkMs;
  return (
    `${base}: ${name}, closed loop, ${users} users at ${spawnRate} per second for ${time}; ` +
    `each thinks ${least / 1_000} to ${most / 1_000} s after an answer`
  );
}

/** @throws {UsageError} */
function toThreshold(text: string): Threshold {
  const threshold = parseThreshold(text);
  if (threshold !== null) return threshold;
  throw new UsageError(`--fail-if ${text} is not a threshold: write p99>100ms, p50>20ms, max>2s or errors>0.1%`);
}

/** Load against a machine of somebody else is an attack. @throws {UsageError} */
function requireOwnHost(base: string, isOwn: boolean): void {
  const { hostname } = new URL(base);
  const host = hostname.replace(/^\[|\]$/g, '');
  const isLoopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
  if (!isLoopback && !isOwn)
    throw new UsageError(`${host} is not this machine: add --i-own-this-host if you may put load on it`);
}

async function answers(base: string): Promise<boolean> {
  return fetch(`${base}/healthz`).then(
    (answer) => answer.ok,
    () => false,
  );
}

/** Before the run: afterwards it would be lost. @throws {UsageError} */
async function openPage(path: string): Promise<FileHandle> {
  return open(path, 'w').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--html ${path} cannot be written (${cause.code})`, { cause });
  });
}
