/**
 * Measures Afterword against floors and peers, in one run on one machine. Rounds of all subjects alternate; a figure is
 * their median. scripts/bench --help says how to call it.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command } from 'commander';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { findServers } from '../scripts/servers/index.ts';
import { afterword } from './contenders/afterword.ts';
import { findPeers } from './contenders/peers.ts';
import { plain } from './contenders/plain.ts';
import { brokerDiskBytes } from './lib/broker-disk.ts';
import { checkOut, resolveCommit } from './lib/checkout.ts';
import type { Urls } from './lib/peer-space.ts';
import { type Row, rounds } from './lib/rounds.ts';
import { acceptSubjects } from './measures/accept.ts';
import { millionLines, openAccess } from './measures/access.ts';
import { againstRatios, againstSubjects } from './measures/against.ts';
import { analyserSubjects } from './measures/analysers.ts';
import { bytesOfAnEvent } from './measures/bytes.ts';
import { type Classic, classicRun, type HeatMap, heatMap } from './measures/classic.ts';
import { drainSubjects, scoringSubjects } from './measures/drain.ts';
import { fairnessSubjects } from './measures/fairness.ts';
import { longBacklog, storedEvents } from './measures/growth.ts';
import { latencySubjects } from './measures/latency.ts';
import { memorySubjects } from './measures/memory.ts';
import { pronunciationSubjects } from './measures/pronunciation.ts';
import { readSubjects } from './measures/reads.ts';
import { openRescore } from './measures/rescore.ts';
import { openRetention } from './measures/retention.ts';
import { sessionSubjects } from './measures/sessions.ts';
import { sizeAccuracy } from './measures/size.ts';
import { cpuByProcess, cpuByStage } from './measures/stages.ts';
import { waitingSubjects } from './measures/waiting.ts';
import { webhookSubjects } from './measures/webhooks.ts';
import { type Report, shown, toHtml } from './report.ts';
import { losses, reached, tableOf, targets } from './targets.ts';

type Result = {
  rows: Row[];
  missing: Readonly<Record<string, string>>;
  classic: Classic | null;
  heatMap: HeatMap | null;
  /** By measure. */
  commits: Readonly<Record<string, string>>;
};

const measures = [
  'accept',
  'drain',
  'scoring',
  'waiting',
  'latency',
  'memory',
  'classic',
  'heat',
  'stages',
  'bytes',
  'size',
  'growth',
  'backlog',
  'sessions',
  'pronunciation',
  'analysers',
  'access',
  'webhooks',
  'fairness',
  'retention',
  'reads',
  'rescore',
] as const;
const options = new Command('scripts/bench')
  .description(
    'Measures Afterword against floors and peers on this otherwise idle machine; a full run takes about an hour.',
  )
  .option('--only <list>', `some of ${measures.join(',')}`, measures.join(','))
  .option('--rounds <n>', 'alternating rounds', '3')
  .option('--seconds <n>', 'how long each subject is measured', '5')
  .option('--out <folder>', 'where the results go', fileURLToPath(new URL('./results', import.meta.url)))
  .option('--add', 'add these measures to those already recorded', false)
  .option(
    '--against <ref>',
    'compare this checkout with a git ref in turn (accept, drain and scoring), and write nothing',
  )
  .option('--check', 'compare the ratios with the recorded ones, write nothing, and fail on a loss of over 15 %', false)
  .parse()
  .opts<{
    only: string;
    rounds: string;
    seconds: string;
    out: string;
    add: boolean;
    check: boolean;
    against?: string;
  }>();
const only = new Set(options.only.split(','));
for (const name of only) {
  if (!measures.some((known) => known === name)) {
    fail(`there is no measure ${name}: choose from ${measures.join(', ')}`);
  }
}
const comparable = ['accept', 'drain', 'scoring'];
if (options.against !== undefined) {
  if (!comparable.some((name) => only.has(name)))
    fail(`--against compares ${comparable.join(', ')}; --only names none of them`);
  await resolveCommit(options.against).catch((error: Error) => fail(error.message));
}
const [seconds, n] = [Number(options.seconds), Number(options.rounds)];
const say = (line: string) => process.stderr.write(`· ${line}\n`);

const folder = await mkdtemp(join(tmpdir(), 'afterword-bench-'));
const found = await findServers(['database', 'broker'], { folder, volumes: null, say, ignoreNamed: true });
const urls: Urls = { database: found.database.server.url, rabbitmq: found.broker.server.url };
try {
  if (options.against === undefined) await record();
  else await compare(options.against);
} finally {
  await Promise.all([found.database.server.dispose(), found.broker.server.dispose()]);
  await rm(folder, { recursive: true, force: true });
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(64);
}

async function record(): Promise<void> {
  const servers = await versions(urls);
  const whole = options.add || options.check || measures.every((name) => only.has(name));
  // A partial run must not replace the record.
  const path = join(
    options.out,
    `bench-${servers['database']?.startsWith('MariaDB') ? 'mariadb' : 'mysql'}${whole ? '' : '.part'}`,
  );
  if (options.check)
    await readFile(`${path}.json`).catch(() =>
      Promise.reject(new Error(`there is no ${path}.json to compare with: run scripts/bench once`)),
    );
  const result: Result = { rows: [], missing: {}, classic: null, heatMap: null, commits: {} };
  const commit = await headCommit();
  if (options.add) await keep(result, `${path}.json`);
  for await (const done of measure(urls, result)) {
    say(`${done} is measured`);
    result.commits = { ...result.commits, [done]: commit };
    // After each measure, so that an interrupted run keeps what it has measured.
    if (!options.check) await write(path, servers, result);
  }
  print(result.rows, ratiosOf(result.rows));
  if (options.check) process.exitCode = await check(`${path}.json`, ratiosOf(result.rows));
  else say(`written: ${path}.json and ${path}.html`);
}

async function compare(ref: string): Promise<void> {
  const [now, before] = [afterword(urls), afterword(urls, await checkOut(ref, folder))];
  const rows = await rounds('against', againstSubjects(now, before, only, seconds), n, say);
  print(rows, {});
  for (const { name, ratio } of againstRatios(rows, now, before)) {
    process.stdout.write(`${name.padEnd(42)} ${shown(ratio).padStart(8)}   now / ${before.name}\n`);
  }
}

async function* measure(urls: Urls, into: Result): AsyncGenerator<string> {
  const ours = afterword(urls);
  const { peers, missing } = await findPeers(urls);
  into.missing = missing;
  for (const [name, why] of Object.entries(missing)) say(`${name} is missing: ${why}`);
  const steps: Record<(typeof measures)[number], () => Promise<readonly Row[]>> = {
    accept: () => rounds('accept', acceptSubjects(urls, [ours, ...peers], seconds), n, say),
    drain: () => rounds('drain', drainSubjects(urls, ours, peers, seconds), n, say),
    scoring: () => rounds('scoring', scoringSubjects(ours, plain(urls), seconds), n, say),
    waiting: () => rounds('waiting', waitingSubjects(ours, peers, seconds), n, say),
    latency: () => rounds('latency', latencySubjects(ours, plain(urls), seconds * 2), n, say),
    memory: () => rounds('memory', memorySubjects(ours), n, say),
    classic: async () => {
      into.classic = await classicRun(ours, urls);
      return [];
    },
    heat: async () => {
      into.heatMap = await heatMap(ours, say);
      return [];
    },
    stages: async () => [...(await cpuByProcess(ours, seconds)), ...(await cpuByStage(ours, seconds))],
    bytes: () => bytesOfAnEvent(ours),
    size: () => sizeAccuracy(ours, urls, seconds, Math.min(n, 2), say),
    growth: () => storedEvents(ours, [0, 1e6, 1e7], seconds, Math.min(n, 2), say),
    backlog: () =>
      longBacklog(
        ours,
        urls,
        () => brokerDiskBytes(found.broker.server),
        { short: 40_000, long: 1_000_000 },
        seconds,
        n,
        say,
      ),
    sessions: () => rounds('sessions', sessionSubjects(urls, seconds), n, say),
    async access() {
      await using access = await openAccess(urls, seconds);
      return [
        ...(await rounds('access', access.subjects, n, say)),
        ...(await rounds('access', [millionLines(urls)], 1, say)),
      ];
    },
    fairness: () => rounds('fairness', fairnessSubjects(ours), n, say),
    async rescore() {
      say('rescore: 100,000 conversations are processed first');
      await using opened = await openRescore(urls, seconds);
      return await rounds('rescore', opened.subjects, n, say);
    },
    reads: () => rounds('reads', readSubjects(ours, seconds), n, say),
    async retention() {
      say('retention: a million old rows are made first');
      const { subjects, close } = await openRetention(urls, seconds);
      try {
        return await rounds('retention', subjects, n, say);
      } finally {
        await close();
      }
    },
    webhooks: () => rounds('webhooks', webhookSubjects(ours, seconds), n, say),
    analysers: () => rounds('analysers', analyserSubjects(urls), n, say),
    pronunciation: () => rounds('pronunciation', pronunciationSubjects(urls), n, say),
  };
  for (const name of measures) {
    if (!only.has(name)) continue;
    into.rows.push(...(await steps[name]()));
    yield name;
  }
}

/** Does nothing if nothing is recorded yet. */
async function keep(result: Result, recordedFile: string): Promise<void> {
  const text = await readFile(recordedFile, 'utf8').catch(() => null);
  if (text === null) return;
  const recorded = JSON.parse(text) as Report;
  const again = [...only, ...(only.has('stages') ? ['CPU'] : [])];
  result.rows.push(...recorded.rows.filter((row) => !again.includes(row.measure)));
  result.commits = Object.fromEntries(Object.entries(recorded.commits).filter(([measure]) => !only.has(measure)));
  result.classic = recorded.classic;
  result.heatMap = recorded.heatMap;
}

function ratiosOf(rows: readonly Row[]): Record<string, number> {
  const table = tableOf(rows);
  return Object.fromEntries(
    targets.flatMap((target) => {
      const value = target.of(table);
      return Number.isFinite(value) ? [[target.name, value]] : [];
    }),
  );
}

async function versions({ database }: Urls): Promise<Record<string, string>> {
  const connection = await mysql.createConnection(database);
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version, @@log_bin AS log_bin');
  await connection.end();
  const version = String(row?.['version']);
  const name = version.includes('MariaDB') ? `MariaDB ${version.split('-')[0]}` : `MySQL ${version}`;
  return {
    database: `${name} (${Number(row?.['log_bin']) ? 'with' : 'without'} binary log, ${found.database.how})`,
    broker: `RabbitMQ (quorum queue, ${found.broker.how})`,
  };
}

function print(rows: readonly Row[], ratios: Readonly<Record<string, number>>): void {
  for (const { measure, subject, unit, figure } of rows) {
    const spread = figure.rounds.length > 1 ? ` (${shown(figure.low)} to ${shown(figure.high)})` : '';
    process.stdout.write(
      `${measure.padEnd(8)} ${subject.padEnd(38)} ${shown(figure.median).padStart(9)} ${unit}${spread}\n`,
    );
  }
  process.stdout.write('\n');
  for (const target of targets) {
    const ratio = ratios[target.name];
    if (ratio === undefined) continue;
    process.stdout.write(
      `${target.name.padEnd(42)} ${shown(ratio).padStart(8)}   wanted ${target.want.padEnd(8)} ` +
        `${reached(target, ratio) ? '' : 'not reached'}\n`,
    );
  }
}

async function check(recordedFile: string, ratios: Readonly<Record<string, number>>): Promise<number> {
  const recorded = JSON.parse(await readFile(recordedFile, 'utf8')) as Report;
  const lost = losses(ratios, recorded.ratios);
  for (const { name, recorded, now } of lost)
    process.stdout.write(`LOSS  ${name}: ${shown(now)}, recorded ${shown(recorded)}\n`);
  process.stdout.write(lost.length === 0 ? '\nno ratio is worse than recorded by over 15 %\n' : '');
  return lost.length === 0 ? 0 : 1;
}

/** The commit, followed by a plus if the tree has uncommitted changes. */
async function headCommit(): Promise<string> {
  try {
    const git = async (...args: string[]) => (await promisify(execFile)('git', args)).stdout.trim();
    const changes = await git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/results');
    return `${await git('rev-parse', '--short', 'HEAD')}${changes === '' ? '' : '+'}`;
  } catch {
    return 'unknown';
  }
}

async function write(path: string, servers: Record<string, string>, result: Result): Promise<void> {
  const report: Report = {
    date: new Date().toISOString(),
    command: ['scripts/bench', ...process.argv.slice(2)].join(' '),
    machine: {
      cpu: cpus()[0]?.model,
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    },
    servers,
    ...result,
    ratios: ratiosOf(result.rows),
  };
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.json`, `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(`${path}.html`, await toHtml(report));
}
