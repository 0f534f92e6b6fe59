import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import * as z from 'zod';
import { profileDefaults, profiles } from './profile-defaults.ts';
import { exitCodes } from './runtime/exit-codes.ts';
import { type MemorySetting, settings } from './settings.ts';

export type Config = Readonly<ReturnType<typeof toConfig> & { readonly origins: ReturnType<typeof originsOf> }>;

/** A configuration that cannot be used. The message names every bad variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly exitCode = exitCodes.config;
}

/**
 * Reads the environment once, at start-up; everything else receives the frozen result.
 * An empty variable counts as not set, because compose files and `.env` templates leave them empty. A secret may be in
 * a file that `<NAME>_FILE` names.
 *
 * @throws {ConfigError} naming every bad variable.
 */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
  const unreadable = readSecretFiles(given);
  const profile = profiles.find((name) => name === given['AFTERWORD_PROFILE']);
  const ofProfile = profile === undefined ? {} : profileDefaults(profile);
  const parsed = environment.safeParse({ ...ofProfile, ...given });
  const problems =
    unreadable.length > 0
      ? unreadable
      : parsed.success
        ? contradictions(parsed.data)
        : parsed.error.issues.map((issue) => {
            const name = String(issue.path[0]);
            return given[name] === undefined ? `${name} is not set; it is required` : `${name} ${issue.message}`;
          });
  if (problems.length > 0 || !parsed.success) {
    throw new ConfigError(
      `bad configuration:\n${problems.map((p) => `  - ${p}`).join('\n')}\nEvery setting with its meaning and default ` +
        `is in .env.example.${hint(given)}`,
    );
  }
  return Object.freeze({ ...toConfig(parsed.data), origins: originsOf(given, ofProfile) });
}

/** Which settings are not the usual defaults, and who has set them: for the line at start. */
function originsOf(given: NodeJS.ProcessEnv, ofProfile: Readonly<Record<string, string>>) {
  const isSet = (name: string) => given[name] !== undefined;
  return {
    environment: Object.keys(settings).filter(isSet),
    profile: Object.keys(ofProfile).filter((name) => !isSet(name)),
  };
}

/** Puts what is in the files of secrets in their place. @returns what is wrong with them. */
function readSecretFiles(given: NodeJS.ProcessEnv): string[] {
  return secretNames.flatMap((name) => {
    const file = given[`${name}_FILE`];
    if (file === undefined) return [];
    if (given[name] !== undefined) return [`${name} and ${name}_FILE are both set: keep one of them`];
    try {
      const text = readFileSync(file, 'utf8').trim();
      if (text === '') return [`${name}_FILE: ${file} is empty`];
      given[name] = text;
      return [];
    } catch (error) {
      return [`${name}_FILE: ${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`];
    }
  });
}

/** Points users without servers to the command that starts some. */
function hint(given: NodeJS.ProcessEnv): string {
  if (given['DATABASE_URL'] !== undefined && given['RABBITMQ_URL'] !== undefined) return '';
  return '\nscripts/up starts servers for you; while it runs, scripts/afterword finds them.';
}

/** The effective values for the start-up log, with passwords masked. */
export function maskedConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    databaseUrl: maskUrl(config.databaseUrl),
    databaseReadUrl: config.databaseReadUrl === null ? null : maskUrl(config.databaseReadUrl),
    rabbitmqUrl: maskUrl(config.rabbitmqUrl),
    opsKey: config.opsKey === null ? null : '***',
    apiKeySecret: config.apiKeySecret === null ? null : '***',
    redisUrl: config.redisUrl === null ? null : maskUrl(config.redisUrl),
    analyserKey: config.analyserKey === null ? null : '***',
    analyserUrl: config.analyserUrl === null ? null : maskService(config.analyserUrl),
    memoryUrl: config.memoryUrl === null ? null : maskService(config.memoryUrl),
    phonemeUrl: config.phonemeUrl === null ? null : maskService(config.phonemeUrl),
  };
}

/** Settings in which members of one fleet may differ. */
const memberSpecific: ReadonlySet<string> = new Set([
  'host',
  'port',
  'metricsHost',
  'metricsPort',
  'publishedHost',
  'databaseReadUrl',
  'tlsCertFile',
  'tlsKeyFile',
  'logLevel',
  'logFormat',
  'workerReplicas',
  'mostWorkers',
  'scale',
  'apiReplicas',
  'workerLanes',
  'profile',
  'origins',
]);

/** Two members with the same digest are configured alike, passwords aside. */
export function configurationDigest(config: Config): string {
  const shared = Object.entries(maskedConfig(config)).filter(([name]) => !memberSpecific.has(name));
  return hash('sha256', JSON.stringify(shared)).slice(0, 12);
}

export function maskUrl(text: string): string {
  const url = new URL(text);
  if (url.password) url.password = '***';
  return url.href;
}

/** Keys may be in the query, too, or be a user name without a password. */
function maskService(text: string): string {
  const url = new URL(maskUrl(text));
  if (url.username && !url.password) url.username = '***';
  if (url.search) url.search = '?***';
  return url.href;
}

/** Settings whose value may be in a file. */
export const secretNames = Object.entries(settings).flatMap(([name, setting]) => ('secret' in setting ? [name] : []));

const environment = z.object(
  Object.fromEntries(Object.entries(settings).map(([name, s]) => [name, s.parse])) as {
    [K in keyof typeof settings]: (typeof settings)[K]['parse'];
  },
);

function toConfig(e: z.output<typeof environment>) {
  return {
    databaseUrl: e.DATABASE_URL,
    databaseReadUrl: e.DATABASE_READ_URL ?? null,
    databaseReadLagMs: e.DATABASE_READ_LAG_SECONDS * 1_000,
    databasePoolSize: e.DATABASE_POOL_SIZE,
    rabbitmqUrl: e.RABBITMQ_URL,
    caFile: e.CA_FILE ?? null,
    queueName: e.RABBITMQ_QUEUE_NAME,
    queueType: e.RABBITMQ_QUEUE_TYPE,
    queueMaxLength: e.RABBITMQ_QUEUE_MAX_LENGTH,
    concurrency: e.MESSAGE_CONCURRENCY_PER_WORKER,
    laneWeights: e.LANE_WEIGHTS,
    workerLanes: e.WORKER_LANES,
    laneRules: e.LANE_RULES,
    fairRate: e.FAIR_RATE,
    textRetentionDays: e.TEXT_RETENTION_DAYS,
    eventRetentionDays: e.EVENT_RETENTION_DAYS,
    retentionSchedule: e.RETENTION_SCHEDULE,
    maintenanceSchedule: e.MAINTENANCE_SCHEDULE,
    scheduleMaxMs: e.SCHEDULE_MAX_DAYS * 86_400_000,
    workerReplicas: startingWorkers(e),
    /** With autoscaling, those that there may be. */
    mostWorkers: e.WORKER_REPLICAS_MAX ?? e.WORKER_REPLICAS,
    scale:
      e.WORKER_REPLICAS_MIN === undefined || e.WORKER_REPLICAS_MAX === undefined
        ? null
        : {
            min: e.WORKER_REPLICAS_MIN,
            max: e.WORKER_REPLICAS_MAX,
            intervalMs: e.SCALE_CHECK_INTERVAL * 1_000,
            drainMs: e.SCALE_DRAIN_SECONDS * 1_000,
            upAbove: e.SCALE_UP_THRESHOLD / 100,
            downBelow: e.SCALE_DOWN_THRESHOLD / 100,
          },
    scoringThreads: e.SCORING_THREADS ?? Math.min(availableParallelism(), e.MESSAGE_CONCURRENCY_PER_WORKER),
    scoringThreadMemoryMb: e.SCORING_THREAD_MEMORY_MB,
    threadMaxTasks: e.THREAD_MAX_TASKS,
    memorySoftLimit: e.MEMORY_SOFT_LIMIT,
    memoryHardLimit: e.MEMORY_HARD_LIMIT,
    scoringTimeoutMs: e.SCORING_TIMEOUT_MS,
    scoringTimezone: e.SCORING_TIMEZONE,
    scorerModule: e.SCORER_MODULE ?? null,
    weights: {
      turn: e.SCORE_WEIGHT_TURN,
      question: e.SCORE_WEIGHT_QUESTION,
      interesting: e.SCORE_WEIGHT_INTERESTING,
      boring: e.SCORE_WEIGHT_BORING,
      memory: e.SCORE_WEIGHT_MEMORY,
      pronunciation: e.SCORE_WEIGHT_PRONUNCIATION,
    },
    analysers: (e.ANALYSER_MODULE ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean),
    analyserWhenAway: e.ANALYSER_WHEN_AWAY,
    analyserTimeoutMs: e.ANALYSER_TIMEOUT_MS,
    analyserConnections: e.ANALYSER_CONNECTIONS,
    analyserUrl: e.ANALYSER_URL ?? null,
    analyserKey: e.ANALYSER_KEY ?? null,
    analyserModel: e.ANALYSER_MODEL ?? null,
    analyserPromptFile: e.ANALYSER_PROMPT_FILE ?? null,
    analyserBatch: e.ANALYSER_BATCH,
    analyserBatchWaitMs: e.ANALYSER_BATCH_WAIT_MS,
    analyserTokensPerMinute: e.ANALYSER_TOKENS_PER_MINUTE,
    analyserTokensPerDay: e.ANALYSER_TOKENS_PER_DAY,
    memoryUrl: e.MEMORY_URL ?? null,
    scoresPronunciation: e.PRONUNCIATION_SCORING === 'on',
    pronunciationLang: e.PRONUNCIATION_LANG,
    pronunciationCompare: {
      stress: e.PRONUNCIATION_STRESS === 'count',
      length: e.PRONUNCIATION_LENGTH === 'count',
      byClass: e.PRONUNCIATION_SUBSTITUTION === 'by-class',
    },
    phonemeUrl: e.PHONEME_URL ?? null,
    phonemeBatchWaitMs: e.PHONEME_BATCH ? e.PHONEME_BATCH_WAIT_MS : null,
    phonemeConnections: e.PHONEME_CONNECTIONS,
    phonemeTimeoutMs: e.PHONEME_TIMEOUT_MS,
    phonemeCacheBytes: e.PHONEME_CACHE_MB * 1_048_576,
    phonemeCacheTtlMs: e.PHONEME_CACHE_TTL_MINUTES * 60_000,
    apiReplicas: e.API_REPLICAS,
    host: e.HOST,
    port: e.PORT,
    publishedHost: e.PUBLISHED_HOST ?? e.HOST,
    allowsOpenApi: e.ALLOW_OPEN_API === 'yes-i-understand',
    apiKeySecret: e.API_KEY_SECRET ?? null,
    keyRequestsPerMinute: e.KEY_REQUESTS_PER_MINUTE,
    userEventsPerMinute: e.USER_EVENTS_PER_MINUTE,
    tlsCertFile: e.TLS_CERT_FILE ?? null,
    tlsKeyFile: e.TLS_KEY_FILE ?? null,
    corsOrigins: e.CORS_ORIGINS,
    trustProxy: e.TRUST_PROXY ?? null,
    problemBaseUrl: e.PROBLEM_BASE_URL?.replace(/\/?$/, '/') ?? null,
    hasEventStream: e.EVENT_STREAM === 'on',
    webhookAllow: e.WEBHOOK_ALLOW,
    metricsHost: e.METRICS_HOST,
    metricsPort: e.METRICS_PORT,
    opsKey: e.OPS_KEY ?? null,
    opsHeapSnapshots: e.OPS_HEAP_SNAPSHOTS,
    redisUrl: e.REDIS_URL ?? null,
    sessionTtlMs: e.SESSION_TTL_MINUTES * 60_000,
    syncIntervalMs: e.SYNC_INTERVAL * 1_000,
    syncMaxPending: e.SYNC_MAX_PENDING,
    sessionMaxPendingBytes: e.SESSION_MAX_PENDING_BYTES,
    sessionIdleMs: e.SESSION_IDLE_MINUTES === 0 ? null : e.SESSION_IDLE_MINUTES * 60_000,
    sessionMessagesPerMinute: e.SESSION_MESSAGES_PER_MINUTE,
    userMessagesPerMinute: e.USER_MESSAGES_PER_MINUTE,
    responderModule: e.RESPONDER_MODULE ?? null,
    responderTimeoutMs: e.RESPONDER_TIMEOUT_MS,
    responderConcurrency: e.RESPONDER_CONCURRENCY,
    maxBodyBytes: e.MAX_BODY_BYTES,
    acceptDeadlineMs: e.ACCEPT_DEADLINE_MS,
    acceptBufferBytes: e.ACCEPT_BUFFER_BYTES,
    responseCacheMs: e.RESPONSE_CACHE_SECONDS * 1_000,
    publishGraceMs: e.PUBLISH_GRACE_MS,
    republishAfterMs: e.REPUBLISH_AFTER_MS,
    lostAfterMs: e.LOST_AFTER_MS,
    relayIntervalMs: e.RELAY_INTERVAL_MS,
    retryBaseMs: e.RETRY_BASE_MS,
    retryCapMs: e.RETRY_CAP_MS,
    maxAttempts: e.MAX_ATTEMPTS,
    poisonStarts: e.POISON_STARTS,
    drainMs: e.DRAIN_MS,
    startDeadlineMs: e.START_DEADLINE_MS,
    profile: e.AFTERWORD_PROFILE ?? null,
    logLevel: e.LOG_LEVEL,
    logFormat: e.LOG_FORMAT ?? (process.stdout.isTTY ? ('pretty' as const) : ('json' as const)),
  };
}

/** Autoscaling begins with the configured number, within its bounds. */
function startingWorkers(e: z.output<typeof environment>): number {
  const [min = 1, max = e.WORKER_REPLICAS] = [e.WORKER_REPLICAS_MIN, e.WORKER_REPLICAS_MAX];
  return Math.min(max, Math.max(min, e.WORKER_REPLICAS));
}

/** Whether a soft limit reaches the hard one, as far as that can be told without knowing the machine. */
function isAbove(soft: MemorySetting, hard: MemorySetting): boolean {
  if (soft === null || hard === null) return false;
  if ('share' in soft) return 'share' in hard && soft.share >= hard.share;
  return 'bytes' in hard && soft.bytes >= hard.bytes;
}

function mostWorkers(e: z.output<typeof environment>): number {
  return Math.max(e.WORKER_REPLICAS, e.WORKER_REPLICAS_MAX ?? 0);
}

function problemsOfDatabase(name: string, text: string): string[] {
  const url = new URL(text);
  const problems: string[] = [];
  if (url.pathname.length < 2) problems.push(`${name} does not name a database: end it with /afterword`);
  const tls = [...url.searchParams].find(([parameter]) => parameter.toLowerCase() === 'tls');
  if (tls === undefined) return problems;
  if (tls[0] !== 'tls' || tls[1] !== 'true')
    problems.push(`${name}: for TLS, write ?tls=true; anything else would not be encrypted`);
  // The driver would check the certificate of an address against the name localhost.
  if (isIP(url.hostname.replace(/^\[(.*)\]$/, '$1')) !== 0)
    problems.push(`${name}: with ?tls=true, name the host instead of its address: certificates are for names`);
  return problems;
}

/** Values that are valid on their own but contradict each other. */
function contradictions(e: z.output<typeof environment>): string[] {
  const problems: string[] = [];
  problems.push(...problemsOfDatabase('DATABASE_URL', e.DATABASE_URL));
  if (e.DATABASE_READ_URL !== undefined) problems.push(...problemsOfDatabase('DATABASE_READ_URL', e.DATABASE_READ_URL));
  if ((e.TLS_CERT_FILE === undefined) !== (e.TLS_KEY_FILE === undefined))
    problems.push('TLS_CERT_FILE and TLS_KEY_FILE belong together: set both or neither');
  if (e.RESPONDER_MODULE !== undefined && e.REDIS_URL === undefined)
    problems.push(
      'RESPONDER_MODULE needs REDIS_URL (or scripts/up --sessions): without live sessions there is nothing to answer',
    );
  const analysers = (e.ANALYSER_MODULE ?? '').split(',').map((name) => name.trim());
  if (analysers.includes('openai') && (e.ANALYSER_URL === undefined || e.ANALYSER_MODEL === undefined))
    problems.push('ANALYSER_MODULE=openai needs ANALYSER_URL and ANALYSER_MODEL');
  if (analysers.includes('memories') && e.MEMORY_URL === undefined)
    problems.push('ANALYSER_MODULE=memories needs MEMORY_URL');
  if (e.PRONUNCIATION_SCORING === 'on' && e.PHONEME_URL !== undefined && e.PHONEME_TIMEOUT_MS > e.SCORING_TIMEOUT_MS)
    problems.push('PHONEME_TIMEOUT_MS must not be above SCORING_TIMEOUT_MS: nobody waits for it any longer');
  if (e.SCORE_WEIGHT_PRONUNCIATION !== 0 && e.PRONUNCIATION_SCORING === 'off')
    problems.push('SCORE_WEIGHT_PRONUNCIATION needs PRONUNCIATION_SCORING=on: without it, nothing is compared');
  if (isAbove(e.MEMORY_SOFT_LIMIT, e.MEMORY_HARD_LIMIT))
    problems.push('MEMORY_SOFT_LIMIT must be below MEMORY_HARD_LIMIT');
  if (e.EVENT_RETENTION_DAYS > 0 && e.TEXT_RETENTION_DAYS > e.EVENT_RETENTION_DAYS)
    problems.push('TEXT_RETENTION_DAYS must not be above EVENT_RETENTION_DAYS: the text goes with its event');
  if (e.RETRY_CAP_MS < e.RETRY_BASE_MS) problems.push('RETRY_CAP_MS must not be below RETRY_BASE_MS');
  if (e.ACCEPT_BUFFER_BYTES < e.MAX_BODY_BYTES) problems.push('ACCEPT_BUFFER_BYTES must not be below MAX_BODY_BYTES');
  if (e.REPUBLISH_AFTER_MS <= e.RETRY_CAP_MS * 1.2 + e.LOST_AFTER_MS) {
    problems.push(
      'REPUBLISH_AFTER_MS must be above 1.2 x RETRY_CAP_MS + LOST_AFTER_MS: ' +
        'lost events and waiting retries could not be told apart',
    );
  }
  if ((e.WORKER_REPLICAS_MIN === undefined) !== (e.WORKER_REPLICAS_MAX === undefined))
    problems.push('WORKER_REPLICAS_MIN and WORKER_REPLICAS_MAX belong together: set both or neither');
  if ((e.WORKER_REPLICAS_MIN ?? 1) > (e.WORKER_REPLICAS_MAX ?? 1_000))
    problems.push('WORKER_REPLICAS_MIN must not be above WORKER_REPLICAS_MAX');
  if (e.SCALE_DOWN_THRESHOLD >= e.SCALE_UP_THRESHOLD)
    problems.push('SCALE_DOWN_THRESHOLD must be below SCALE_UP_THRESHOLD');
  if (e.METRICS_PORT > 0 && e.METRICS_PORT + mostWorkers(e) + e.API_REPLICAS > 65_535)
    problems.push('METRICS_PORT leaves no ports after it for the members of a fleet: choose a lower one');
  if (e.REPUBLISH_AFTER_MS < e.PUBLISH_GRACE_MS) problems.push('REPUBLISH_AFTER_MS must not be below PUBLISH_GRACE_MS');
  if ((e.SCORING_THREADS ?? 1) > e.MESSAGE_CONCURRENCY_PER_WORKER) {
    problems.push('SCORING_THREADS must not be above MESSAGE_CONCURRENCY_PER_WORKER: the rest would never have work');
  }
  return problems;
}
