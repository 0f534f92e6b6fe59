import { access, constants, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import {
  closedLoop,
  createLoadClient,
  createRecorder,
  describeRun,
  exceeded,
  htmlReport,
  liveLine,
  type Operation,
  openLoop,
  type Profile,
  type ProfileName,
  parseThreshold,
  profiles,
  type Sample,
  type Threshold,
} from '../load/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { baseOf } from '../send/api-client.ts';
import { readBodies } from '../size/index.ts';
import { quiet } from '../start/tool.ts';
import { printLine, printReport } from '../terminal/print.ts';

export type LoadOptions = {
  readonly url: string;
  readonly profile: ProfileName;
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
 * @returns exit code: 1 if a threshold of `--fail-if` was passed.
 */
export async function runLoad(options: LoadOptions): Promise<number> {
  const base = baseOf(options.url);
  const limits = options.failIf.map(toThreshold);
  requireOwnHost(base, options.iOwnThisHost);
  if (options.html !== undefined) await requireFolder(options.html);
  const preset = profiles[options.profile];
  const profile = {
    users: options.users ?? preset.users,
    spawnRate: options.spawnRate ?? preset.spawnRate,
    runTimeMs: options.runTime ?? preset.runTimeMs,
    thinkMs: options.think ?? preset.thinkMs,
  };
  const { next: nextBody } = await readBodies(options.body ?? null);
  const recorder = createRecorder();
  const connections = Math.min(mostConnections, options.rate === undefined ? profile.users : mostConnections);
  await using stack = new AsyncDisposableStack();
  const client = stack.adopt(createLoadClient({ base, connections, mix: options.mix, nextBody, recorder }), (c) =>
    c.close(),
  );
  if ((await client.queued()) === null && !(await answers(base)))
    throw new StartError(`no API answers at ${base}: start one with scripts/up, or give its address with --url`, {
      mayPass: true,
    });

  const how = describe(base, options.profile, profile, options.rate);
  process.stderr.write(`${how}\n`);
  const { signal } = createStop(quiet);
  const began = performance.now();
  const crowd =
    options.rate === undefined
      ? closedLoop(profile, (user) => client.act(user), signal)
      : openLoop(
          { rate: options.rate, runTimeMs: profile.runTimeMs },
          (user, dueAt) => client.act(user, dueAt),
          signal,
        );
  const samples: Sample[] = [];
  const look = async () => {
    const queued = await client.queued();
    const sample = recorder.sample({ s: (performance.now() - began) / 1_000, users: crowd.users(), queued });
    samples.push(sample);
    process.stderr.write(`${liveLine(sample)}\n`);
  };
  const looking = setInterval(() => void look(), sampleMs);
  await crowd.done;
  clearInterval(looking);
  const seconds = (performance.now() - began) / 1_000;
  const totals = recorder.totals();
  const broken = exceeded(limits, totals.all);
  const lines = describeRun(how, totals, seconds, broken);
  if (options.json) printReport({ ...profile, rate: options.rate ?? null, seconds, totals, samples, broken });
  else printLine(`\n${lines.join('\n')}`);
  if (options.html !== undefined) await writeFile(options.html, await htmlReport(lines, samples));
  return broken.length === 0 ? exitCodes.ok : exitCodes.failed;
}

function describe(
  base: string,
  name: ProfileName,
  { users, spawnRate, runTimeMs, thinkMs }: Profile,
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
  throw new UsageError(`--fail-if ${text} is not a limit: say p99>100ms, p50>20ms, max>2s or errors>0.1%`);
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

async function requireFolder(path: string): Promise<void> {
  await access(dirname(resolve(path)), constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--html ${path} cannot be written (${cause.code})`, { cause });
  });
}
