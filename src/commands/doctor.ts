import { availableParallelism } from 'node:os';
import { inspectBroker } from '../broker/index.ts';
import type { Config } from '../config.ts';
import type { Control } from '../members/index.ts';
import {
  type Finding,
  judgeAccess,
  judgeBroker,
  judgeDatabase,
  judgeMaintenance,
  judgeProcess,
  judgeRedis,
} from '../operate/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createDryRun } from '../score/index.ts';
import { accessFacts, certificateEnd } from '../start/access-facts.ts';
import { openAnalysers } from '../start/analysers.ts';
import { topologyOf } from '../start/broker.ts';
import { consumerTimeoutMs, longestWaitMs, statementDeadlineMs } from '../start/limits.ts';
import { maintenanceFacts } from '../start/maintenance-facts.ts';
import { startPronunciation } from '../start/pronunciation.ts';
import { replicaForTool } from '../start/replica.ts';
import { startPool } from '../start/score-pool.ts';
import { brokerAway, openToolStore, quiet } from '../start/tool.ts';
import { openToolRedis } from '../start/tool-redis.ts';
import { inspectDatabase, listControls, listKeys, type Store } from '../store/index.ts';
import { counted, plain, printLine, printReport, verdict } from '../terminal/print.ts';

/** Checks a whole deployment and gives advice. @returns exit code: 1 if something will not work or would lose data. */
export async function runDoctor(config: Config, options: { readonly json: boolean }): Promise<number> {
  const findings = (
    await Promise.all([
      database(config),
      broker(config),
      redis(config),
      phonemes(config),
      analysers(config),
      surroundings(config),
    ])
  ).flat();
  const failed = findings.filter((f) => f.status === 'fail').length;
  const warned = findings.filter((f) => f.status === 'warn').length;
  if (options.json) printReport({ ok: failed === 0, findings });
  else {
    const widest = Math.max(...findings.map(({ check }) => check.length));
    for (const f of findings) printLine(`${verdict(f.status)}${f.check.padEnd(widest)}  ${plain(f.found)}`);
    for (const f of findings) if (f.advice) printLine(`\n${verdict(f.status)}${f.check}: ${f.advice}`);
    printLine(
      failed + warned === 0 ? '\nall is well' : `\n${counted(failed, 'failure')}, ${counted(warned, 'warning')}`,
    );
  }
  return failed === 0 ? exitCodes.ok : exitCodes.failed;
}

async function database(config: Config): Promise<Finding[]> {
  try {
    await using stack = new AsyncDisposableStack();
    const store = stack.adopt(await openToolStore(config, { anySchema: true }), (s) => s.close());
    const facts = await inspectDatabase(store, statementDeadlineMs);
    const controls = facts.schemaCurrent ? await listControls(store, statementDeadlineMs) : [];
    const access = facts.schemaCurrent ? await judgeKeys(config, store) : [];
    const findings = judgeDatabase(facts, {
      members: config.workerReplicas + config.apiReplicas,
      poolSize: config.databasePoolSize,
      maxBodyBytes: config.maxBodyBytes,
    });
    const maintenance = facts.schemaCurrent ? await judgeJobs(config, store) : [];
    const replica = facts.schemaCurrent ? await judgeReplica(config, store) : [];
    return [...findings, ...replica, ...judgeControls(controls), ...maintenance, ...access];
  } catch (error) {
    return [{ check: 'database', status: 'fail', found: 'cannot be used', advice: (error as Error).message }];
  }
}

/** Nothing without a replica. */
async function judgeReplica(config: Config, store: Store): Promise<Finding[]> {
  const replica = await replicaForTool(config, store, quiet);
  if (replica === null) return [];
  const { isFresh, lagMs } = replica.watch;
  await replica.close();
  const check = 'read replica';
  if (isFresh) return [{ check, status: 'ok', found: `${lagMs ?? 0} ms behind` }];
  const found = lagMs === null ? 'away, or it copies nothing' : `${lagMs} ms behind`;
  const advice = 'reports are read from the primary meanwhile: is DATABASE_READ_URL right, and does replication run?';
  return [{ check, status: 'warn', found, advice }];
}

async function judgeJobs(config: Config, store: Store): Promise<Finding[]> {
  const now = new Date();
  const { jobs, removalRefused } = await maintenanceFacts(config, store, now);
  return judgeMaintenance(jobs, removalRefused, now);
}

async function judgeKeys(config: Config, store: Store): Promise<Finding[]> {
  const unreadable: Finding[] = [];
  let end: Date | null = null;
  try {
    end = certificateEnd(config);
  } catch (error) {
    unreadable.push({
      check: 'certificate',
      status: 'fail',
      found: 'cannot be read',
      advice: (error as Error).message,
    });
  }
  const known = await listKeys(store, statementDeadlineMs);
  return [...judgeAccess(accessFacts(config, process.env, known, end)), ...unreadable];
}

async function broker(config: Config): Promise<Finding[]> {
  try {
    const facts = await inspectBroker({
      url: config.rabbitmqUrl,
      topology: topologyOf(config),
      name: `afterword doctor ${process.pid}`,
    });
    return judgeBroker(facts, { queueType: config.queueType, maxLength: config.queueMaxLength });
  } catch (error) {
    return [
      {
        check: 'broker',
        status: 'fail',
        found: 'cannot be used',
        advice: (brokerAway(config, error) as Error).message,
      },
    ];
  }
}

/** Nothing without live sessions. */
async function redis(config: Config): Promise<Finding[]> {
  if (config.redisUrl === null) return [];
  try {
    await using stack = new AsyncDisposableStack();
    const opened = stack.adopt(await openToolRedis({ ...config, redisUrl: config.redisUrl }), (r) => r.close());
    const { oldest } = await opened.live.backlog();
    const waitedMs = oldest === null ? 0 : Math.max(0, Date.now() - oldest.getTime());
    return judgeRedis(await opened.facts(), { waitedMs, syncIntervalMs: config.syncIntervalMs });
  } catch (error) {
    return [{ check: 'redis', status: 'fail', found: 'cannot be used', advice: (error as Error).message }];
  }
}

/** Skipped unless something is compared before scoring, or a service is named. */
async function phonemes(config: Config): Promise<Finding[]> {
  if (config.phonemeUrl === null && !config.scoresPronunciation) return [];
  const pronunciation = startPronunciation(config, quiet);
  const { phonemes } = await pronunciation.open();
  const began = performance.now();
  const found = await phonemes.find({ text: 'hello', lang: config.pronunciationLang, mode: true }).then(
    ({ ipa }) => ipa,
    (error: unknown) => error as Error,
  );
  await pronunciation.close();
  const took = `${phonemes.source}, ${Math.round(performance.now() - began)} ms`;
  return [
    typeof found === 'string' && found !== ''
      ? { check: 'phonemes', status: 'ok', found: took }
      : {
          check: 'phonemes',
          status: 'fail',
          found: 'cannot be looked up',
          advice:
            typeof found === 'string'
              ? `${phonemes.source} has none for "hello" in ${config.pronunciationLang}`
              : `${found.message}${config.phonemeUrl === null ? '' : ': check address and key in PHONEME_URL'}`,
        },
  ];
}

/** Nothing without analysers. Loads them, and knocks where texts would go: an answer of any kind is one. */
async function analysers(config: Config): Promise<Finding[]> {
  try {
    const opened = await openAnalysers(config, quiet);
    if (opened === null) return [];
    const findings = await Promise.all(opened.all.map(({ name, sendsTo }) => knock(name, sendsTo)));
    await opened.close();
    return findings;
  } catch (error) {
    return [{ check: 'analysers', status: 'fail', found: 'cannot be loaded', advice: (error as Error).message }];
  }
}

async function knock(name: string, sendsTo: string | undefined): Promise<Finding> {
  const check = `analyser ${name}`;
  if (sendsTo === undefined) return { check, status: 'ok', found: 'loaded; texts stay here' };
  return fetch(sendsTo, { signal: AbortSignal.timeout(5_000), redirect: 'manual' }).then(
    async (answer) => {
      await answer.body?.cancel();
      return { check, status: 'ok', found: `texts are sent to ${sendsTo}, which answers` } as const;
    },
    () => ({
      check,
      status: 'fail' as const,
      found: `texts are sent to ${sendsTo}, which does not answer`,
      advice: 'until it does, the scorer reads alone, or attempts are made again (ANALYSER_WHEN_AWAY)',
    }),
  );
}

async function surroundings(config: Config): Promise<Finding[]> {
  const dryRun = createDryRun((stop) => startPool(config, 1, stop, quiet));
  const scored = await dryRun.score(sample).then(
    (details) => ({ scorer: details.scorer ?? config.scorerModule, failed: null }),
    (error: unknown) => ({ scorer: 'none', failed: (error as Error).message }),
  );
  const waits = await dryRun.waits();
  await dryRun.close();
  return judgeProcess({
    node: process.version,
    openFiles: openFileLimit(),
    cores: availableParallelism(),
    threads: config.scoringThreads,
    inFlight: config.concurrency,
    waits,
    replicas: config.workerReplicas,
    longestWaitMs: longestWaitMs(config, waits),
    consumerTimeoutMs,
    scorerFailed: scored.failed,
    scorer: scored.scorer,
  });
}

/** Null: unlimited, or this system does not report it. */
function openFileLimit(): number | null {
  // Otherwise the report resolves the name of every peer, which blocks the process.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isFinite(soft) ? soft : null;
}

/** What operators have changed, so that nobody wonders why nothing is scored. */
function judgeControls(controls: readonly Control[]): Finding[] {
  const paused = controls.filter(({ isPaused }) => isPaused).map(({ target }) => target);
  const changed = controls.flatMap(({ target, concurrency }) =>
    concurrency === null ? [] : [`${target}: ${concurrency}`],
  );
  return [
    paused.length === 0
      ? { check: 'paused', status: 'ok', found: 'no worker' }
      : {
          check: 'paused',
          status: 'warn',
          found: paused.join(', '),
          advice: '`afterword resume` has them take deliveries again; `afterword actions` says who paused them',
        },
    ...(changed.length === 0
      ? []
      : [{ check: 'live concurrency', status: 'ok' as const, found: `changed by operators: ${changed.join(', ')}` }]),
  ];
}

const sample = {
  conversation_id: 'doctor',
  user_id: 'doctor',
  bot_type: 'TALK',
  bot_id: 'doctor',
  bot_name: 'doctor',
  agent_tag: null,
  start_time: '2026-01-31T20:00:00.000Z',
  end_time: '2026-01-31T20:15:00.000Z',
  metadata: null,
  conversation_log: [
    { speaker: 'pika', turn_id: 1, text: 'Hello!', timestamp: '2026-01-31T20:00:00.000Z' },
    { speaker: 'user', turn_id: 2, text: 'Hello!', timestamp: '2026-01-31T20:07:30.000Z' },
  ],
} as const;
