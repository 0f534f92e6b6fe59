import { isIP } from 'node:net';
import { Cron } from 'croner';
import * as z from 'zod';
import { lanes } from './event/lane.ts';
import { laneList, laneRules, laneWeights } from './lane-settings.ts';
import { profiles } from './profile-defaults.ts';
import { languageTag } from './runtime/language-tag.ts';

/**
 * Every setting of Afterword: how it is parsed, its default, and what it means. A test checks `.env.example` against
 * this table. Numbers are whole unless stated otherwise; the unit is part of the name.
 */
export const settings = {
  DATABASE_URL: {
    parse: z.url({ protocol: /^mysql$/, error: 'must be a URL such as mysql://user:password@host:3306/afterword' }),
    help: 'MySQL 8.4+ or MariaDB 10.11+, with the database name as its path; ?tls=true for TLS.',
    secret: true,
  },
  DATABASE_READ_URL: {
    parse: z
      .url({ protocol: /^mysql$/, error: 'must be a URL such as mysql://user:password@host:3306/afterword' })
      .optional(),
    help:
      'Read replica of DATABASE_URL; APIs and `afterword audit` read from it while it is up to date. ' +
      'Default: none.',
    secret: true,
  },
  DATABASE_READ_LAG_SECONDS: {
    parse: int(1, 300).default(5),
    help: 'Seconds a replica may lag; beyond that, reads go to the primary.',
  },
  RABBITMQ_URL: {
    parse: z.url({ protocol: /^amqps?$/, error: 'must be a URL such as amqp://user:password@host:5672' }),
    help: 'RabbitMQ 3.10+; amqps:// for TLS.',
    secret: true,
  },
  CA_FILE: {
    parse: z.string().optional(),
    help: 'PEM file with certificates of authorities that are trusted in addition to those of Node.',
  },
  RABBITMQ_QUEUE_NAME: {
    parse: z
      .string()
      .regex(/^[\w.-]{1,200}$/, 'must be 1-200 letters, digits, dots, dashes or underscores')
      .default('conversation_events_processing'),
    help:
      'Main queue; must be the same for all processes on one database. ' +
      'The dead-letter exchange and queue take its name without "_processing", plus "_dlx" and "_dead".',
  },
  RABBITMQ_QUEUE_TYPE: { parse: oneOf('quorum', 'classic').default('quorum'), help: 'quorum or classic.' },
  RABBITMQ_QUEUE_MAX_LENGTH: {
    parse: int(1, 1_000_000_000).default(5_000_000),
    help: 'Messages after which the queue refuses more; events then wait in the database until there is room.',
  },
  MESSAGE_CONCURRENCY_PER_WORKER: {
    parse: int(1, 1_000).default(10),
    help: 'Prefetch: the most unsettled deliveries per worker, and so the most scorings that it runs concurrently.',
  },
  LANE_WEIGHTS: {
    parse: laneWeights().default({ high: 6, normal: 3, low: 1 }),
    help:
      'How the slots of a worker are divided while every lane has something to do (docs/lanes.md); what one does not ' +
      'use goes to the others. Default: high:6,normal:3,low:1.',
  },
  WORKER_LANES: {
    parse: laneList().default([...lanes]),
    help: 'Lanes that a worker serves, for workers that are kept for some of them. Default: high,normal,low.',
  },
  LANE_RULES: {
    parse: laneRules().default([]),
    help:
      'Lanes of conversations that come without a priority, by bot_type, bot_id or agent_tag: ' +
      'bot_type=STORY:low,bot_id=exam-*:high. The first that matches counts. Default: none.',
  },
  SCHEDULE_MAX_DAYS: {
    parse: int(1, 3_650).default(30),
    help: 'How far ahead a conversation may be scheduled with `process_after`.',
  },
  TEXT_RETENTION_DAYS: {
    parse: int(0, 36_500).default(0),
    help: 'Days after which the text of a closed conversation, and an ended live session, is removed; 0: never.',
  },
  EVENT_RETENTION_DAYS: {
    parse: int(0, 36_500).default(0),
    help: 'Days after which a closed event is removed; its result stays in the friendship. 0: never.',
  },
  RETENTION_SCHEDULE: {
    parse: cron().default('0 3 * * *'),
    help:
      'When old texts and events are removed: a cron expression in SCORING_TIMEZONE, or off (`afterword jobs run`). ' +
      'Default: 0 3 * * *.',
  },
  MAINTENANCE_SCHEDULE: {
    parse: cron().default('30 2 * * *'),
    help:
      'When partitions are made ahead and maintenance records expire: a cron expression in ' +
      'SCORING_TIMEZONE, or off. Default: 30 2 * * *.',
  },
  FAIR_RATE: {
    parse: int(0, 100_000_000).default(0),
    help: 'Conversations of a user, or of an API key, per minute; those beyond it go to the low lane. 0: no limit.',
  },
  WORKER_REPLICAS: { parse: int(1, 1_000).default(2), help: 'Workers started by compose and by the local fleet.' },
  WORKER_REPLICAS_MIN: {
    parse: int(1, 1_000).optional(),
    help: 'Autoscaling: the least and the most workers of `afterword fleet`. Default: WORKER_REPLICAS, always.',
  },
  WORKER_REPLICAS_MAX: { parse: int(1, 1_000).optional(), help: 'Set both, or neither.' },
  SCALE_CHECK_INTERVAL: {
    parse: int(1, 3_600).default(30),
    help: 'Autoscaling: seconds between two checks of how many workers there should be.',
  },
  SCALE_DRAIN_SECONDS: {
    parse: int(1, 86_400).default(60),
    help:
      'Autoscaling: workers are added if the backlog would take this many seconds to drain, or its oldest ' +
      'is older.',
  },
  SCALE_UP_THRESHOLD: {
    parse: int(1, 90).default(70),
    help: 'Autoscaling: percent of CPU in use above which a backlog of half that time is enough for one more worker.',
  },
  SCALE_DOWN_THRESHOLD: {
    parse: int(0, 89).default(30),
    help: 'Autoscaling: percent of slots and of CPU in use below which, three checks in a row, workers are removed.',
  },
  SCORING_THREADS: {
    parse: int(1, 256).optional(),
    help: 'Scoring threads per worker. Default: the available cores, at most MESSAGE_CONCURRENCY_PER_WORKER.',
  },
  SCORING_THREAD_MEMORY_MB: {
    parse: int(16, 16_384).default(256),
    help: 'Heap of a scoring thread, MiB: at 80 % it is replaced, at 100 % terminated.',
  },
  THREAD_MAX_TASKS: {
    parse: int(0, 1_000_000_000).default(0),
    help: 'Conversations after which a scoring thread is replaced, for scorers that leak; 0: never.',
  },
  MEMORY_SOFT_LIMIT: {
    parse: memory().default({ share: 0.8 }),
    help:
      'Memory above which a worker takes nothing new and replaces its scoring threads: a share of what it may use ' +
      '(of its container; of the machine, divided among the members of a fleet), a size such as 600M, or 0 for none.',
  },
  MEMORY_HARD_LIMIT: {
    parse: memory().default({ share: 0.95 }),
    help: 'Memory above which a worker drains and ends, for its supervisor to start another; as above.',
  },
  SCORING_TIMEOUT_MS: {
    parse: int(100, 1_500_000).default(30_000),
    help: 'Time limit of one scoring. Its signal is then aborted; if it does not stop, its thread is replaced.',
  },
  SCORING_TIMEZONE: {
    parse: z
      .string()
      .refine(isTimeZone, 'must be an IANA time zone such as Asia/Ho_Chi_Minh')
      .default('Asia/Ho_Chi_Minh'),
    help: 'Time zone in which the days of a streak are counted, and schedules are read.',
  },
  SCORER_MODULE: {
    parse: z.string().optional(),
    help: 'Path of a module that replaces the friendship scorer (README, "Your own scorer").',
  },
  SCORE_WEIGHT_TURN: { parse: weight().default(1), help: 'Points for a complete turn.' },
  SCORE_WEIGHT_QUESTION: {
    parse: weight().default(3),
    help: 'Points for a question that the user asks unprompted.',
  },
  SCORE_WEIGHT_INTERESTING: { parse: weight().default(15), help: 'Points for an interesting conversation.' },
  SCORE_WEIGHT_BORING: { parse: weight().default(-15), help: 'Points for a boring conversation.' },
  SCORE_WEIGHT_MEMORY: { parse: weight().default(5), help: 'Points for a new memory.' },
  SCORE_WEIGHT_PRONUNCIATION: {
    parse: weight().default(0),
    help: 'Points for a perfect pronunciation, less in proportion to similarity; needs PRONUNCIATION_SCORING.',
  },
  ANALYSER_MODULE: {
    parse: z.string().optional(),
    help:
      'Who reads conversations instead of the scorer: openai, memories, or paths of modules, separated by commas ' +
      '(docs/analysers.md). Default: nobody.',
  },
  ANALYSER_WHEN_AWAY: {
    parse: oneOf('local', 'retry').default('local'),
    help: 'local: the scorer reads alone what an analyser cannot; retry: the attempt fails and is made again.',
  },
  ANALYSER_TIMEOUT_MS: {
    parse: int(100, 600_000).default(60_000),
    help: 'Time limit of one analysis, retries included; a single try gets half of it.',
  },
  ANALYSER_CONNECTIONS: {
    parse: int(1, 1_000).default(50),
    help: 'Most calls of a process to one analyser at the same time.',
  },
  ANALYSER_URL: {
    parse: z
      .url({
        protocol: /^https?$/,
        error: 'must be a URL such as https://api.openai.com/v1, without /chat/completions',
      })
      .optional(),
    help: 'Of openai: any service with its chat completions and structured outputs.',
  },
  ANALYSER_KEY: {
    parse: z
      .string()
      .trim()
      .regex(/^[\x21-\x7e]+$/, 'must consist of ASCII characters without blanks: no header can hold others')
      .optional(),
    help: 'Of openai: its key, if it wants one.',
    secret: true,
  },
  ANALYSER_MODEL: { parse: z.string().optional(), help: 'Of openai: the model.' },
  ANALYSER_PROMPT_FILE: {
    parse: z.string().optional(),
    help: 'Of openai: a file with other instructions than ours (src/analysis/prompt.txt).',
  },
  ANALYSER_BATCH: { parse: int(1, 20).default(1), help: 'Of openai: conversations that share one call.' },
  ANALYSER_BATCH_WAIT_MS: {
    parse: int(1, 60_000).default(200),
    help: 'Of openai: how long a batch waits for more conversations.',
  },
  ANALYSER_TOKENS_PER_MINUTE: {
    parse: int(0, 1_000_000_000).default(0),
    help: 'Of openai: tokens that all workers together may use per minute; 0: no limit.',
  },
  ANALYSER_TOKENS_PER_DAY: {
    parse: int(0, 1_000_000_000).default(0),
    help: 'Of openai: the same per day, since the start of a worker.',
  },
  MEMORY_URL: {
    parse: z.url({ protocol: /^https?$/, error: 'must be a URL such as http://memories:8080/extract' }).optional(),
    help: 'Of memories: the service that counts what users tell about themselves.',
  },
  PRONUNCIATION_SCORING: {
    parse: oneOf('off', 'on').default('off'),
    help: 'on: workers compare what users said with the target_text of their items before scoring.',
  },
  PRONUNCIATION_LANG: {
    parse: languageTag.default('en-US'),
    help: 'Language of target_text, and of comparisons that name none.',
  },
  PRONUNCIATION_STRESS: {
    parse: oneOf('ignore', 'count').default('ignore'),
    help: 'count: a stressed and an unstressed phoneme differ.',
  },
  PRONUNCIATION_LENGTH: {
    parse: oneOf('ignore', 'count').default('count'),
    help: 'count: a long and a short phoneme differ.',
  },
  PRONUNCIATION_SUBSTITUTION: {
    parse: oneOf('plain', 'by-class').default('plain'),
    help: 'by-class: a vowel for a vowel, or a consonant for a consonant, is half a mistake.',
  },
  PHONEME_URL: {
    parse: z.url({ protocol: /^https?$/, error: 'must be a URL such as http://phonemes:8080/ipa' }).optional(),
    help: 'URL of a phoneme service (docs/pronunciation.md), which gets the texts. Default: espeak-ng on this machine.',
    secret: true,
  },
  PHONEME_BATCH: {
    parse: oneOf('true', 'false')
      .default('false')
      .transform((text) => text === 'true'),
    help: 'true: texts that are needed at about the same time go to the service in one call, at most ten.',
  },
  PHONEME_BATCH_WAIT_MS: { parse: int(1, 1_000).default(5), help: 'How long a batch waits for more texts.' },
  PHONEME_CONNECTIONS: {
    parse: int(1, 1_000).default(16),
    help: 'Most connections to the phoneme service, per process.',
  },
  PHONEME_TIMEOUT_MS: {
    parse: int(100, 600_000).default(5_000),
    help: 'Time limit of a look-up, retries included; a single try gets half of it.',
  },
  PHONEME_CACHE_MB: {
    parse: int(0, 16_384).default(64),
    help: 'Memory for phonemes per process, MiB; 0: no cache. With REDIS_URL, processes share what they know.',
  },
  PHONEME_CACHE_TTL_MINUTES: {
    parse: int(1, 5_256_000).default(10_080),
    help: 'How long phonemes are kept; older ones are renewed while they are still used.',
  },
  API_REPLICAS: {
    parse: int(1, 64).default(1),
    help: 'APIs that `afterword fleet` runs on one port. Each has its own pool of database connections.',
  },
  HOST: { parse: z.string().min(1).default('127.0.0.1'), help: 'Address that the API listens on; 0.0.0.0 for all.' },
  PORT: { parse: int(0, 65_535).default(3000), help: 'Port of the API; 0 picks a free one.' },
  PUBLISHED_HOST: {
    parse: z.string().min(1).optional(),
    help: 'Address at which others reach the API if that is not HOST: the one of a container, or of a proxy.',
  },
  ALLOW_OPEN_API: {
    parse: oneOf('no', 'yes-i-understand').default('no'),
    help:
      'yes-i-understand: without any API key, an API starts although others can reach it. ' +
      'Whoever does may do everything.',
  },
  API_KEY_SECRET: {
    parse: z.string().min(16, 'must have at least 16 characters').optional(),
    help: 'API keys are stored as hashes under this secret. Keys made with another one are refused.',
    secret: true,
  },
  KEY_REQUESTS_PER_MINUTE: {
    parse: int(0, 100_000_000).default(0),
    help: 'Requests that an API key may make per minute unless it has a limit of its own, then 429; 0: no limit.',
  },
  USER_EVENTS_PER_MINUTE: {
    parse: int(0, 100_000_000).default(0),
    help: 'Conversations of one user that are accepted per minute, then 429; 0: no limit.',
  },
  TLS_CERT_FILE: {
    parse: z.string().optional(),
    help: 'PEM file with the certificate of the API and its chain: it then speaks HTTPS. Read again when it changes.',
  },
  TLS_KEY_FILE: { parse: z.string().optional(), help: 'PEM file with its private key.' },
  CORS_ORIGINS: {
    parse: z
      .string()
      .transform((text) => text.split(',').map((origin) => origin.trim()))
      .pipe(
        z.array(
          z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
            error: 'must be origins such as https://app.example, separated by commas',
          }),
        ),
      )
      .default([]),
    help: 'Origins of web pages that may call the API. Default: none.',
  },
  TRUST_PROXY: {
    parse: z
      .string()
      .transform((text) => (/^\d{1,2}$/.test(text) ? Number(text) : text.split(',').map((part) => part.trim())))
      .refine((given) => typeof given === 'number' || given.every(isAddress), {
        error: 'must be a number of proxies, or their addresses or subnets, separated by commas',
      })
      .optional(),
    help: 'Proxies in front of the API that say who asks (X-Forwarded-For): how many, or addresses. Default: none.',
  },
  PROBLEM_BASE_URL: {
    parse: z.url({ protocol: /^https?$/, error: 'must be a URL such as https://docs.example/problems/' }).optional(),
    help: 'URL before the code in the type of a problem document. Default: pages that the API serves itself.',
  },
  EVENT_STREAM: {
    parse: oneOf('off', 'on').default('off'),
    help: 'on: workers number what they close, and APIs have /v1/events/stream. The same for all of them.',
  },
  WEBHOOK_ALLOW: {
    parse: z
      .string()
      .transform((text) => text.split(',').map((part) => part.trim().toLowerCase()))
      .pipe(z.array(z.string().refine(isHostOrSubnet, 'must be hosts, addresses or subnets')))
      .default([]),
    help:
      'Hosts, addresses and subnets that webhooks may be sent to although they are not on the internet, ' +
      'separated by commas. Default: none.',
  },
  METRICS_HOST: {
    parse: z.string().min(1).default('127.0.0.1'),
    help: 'Address of METRICS_PORT; 0.0.0.0 for all.',
  },
  METRICS_PORT: {
    parse: int(0, 65_535).default(0),
    help:
      'Port for /metrics, /healthz, /readyz, /health/detailed and /ops of any process; 0: none. ' +
      'A fleet uses it for all of its members together, and the ports after it for each of them.',
  },
  OPS_KEY: {
    parse: z.string().min(16, 'must have at least 16 characters').optional(),
    help: 'Key for /ops/profile and /ops/heap from other machines, as a bearer token. Default: only from this machine.',
    secret: true,
  },
  OPS_HEAP_SNAPSHOTS: {
    parse: oneOf('true', 'false')
      .default('false')
      .transform((text) => text === 'true'),
    help: 'true: POST /ops/heap returns a heap snapshot, which contains conversations.',
  },
  REDIS_URL: {
    parse: z
      .url({
        protocol: /^rediss?$/,
        error: 'must be a URL such as redis://:password@host:6379, rediss:// for TLS, with ?cluster=true for a cluster',
      })
      .optional(),
    help:
      'Redis 6.2+ or Valkey, for live sessions. Default: none, and no sessions. ' +
      'For a cluster: redis://host1:6379?cluster=true&node=host2:6379.',
    secret: true,
  },
  SESSION_TTL_MINUTES: {
    parse: int(1, 525_600).default(1_440),
    help: 'How long Redis keeps a session whose messages are all in the database. Unwritten messages never expire.',
  },
  SYNC_INTERVAL: {
    parse: int(1, 86_400).default(300),
    help: 'Seconds until messages of a live session are written to the database.',
  },
  SYNC_MAX_PENDING: {
    parse: int(1, 2_000).default(500),
    help: 'Messages pending in one session after which they are written at once.',
  },
  SESSION_MAX_PENDING_BYTES: {
    parse: int(1_048_576, 1_099_511_627_776).default(268_435_456),
    help: 'Text that Redis may hold for the database, bytes; beyond that, new messages answer 503.',
  },
  SESSION_IDLE_MINUTES: {
    parse: int(0, 525_600).default(0),
    help: 'Sessions without activity for this long are ended; 0: never.',
  },
  SESSION_MESSAGES_PER_MINUTE: {
    parse: int(0, 1_000_000).default(120),
    help: 'Messages that one session may send per minute, then 429; 0: no limit.',
  },
  USER_MESSAGES_PER_MINUTE: {
    parse: int(0, 1_000_000).default(600),
    help: 'Messages that one user may send per minute in all sessions, then 429; 0: no limit.',
  },
  RESPONDER_MODULE: {
    parse: z.string().optional(),
    help: 'Path of a module that answers for the bot (docs/sessions.md). Default: none.',
  },
  RESPONDER_TIMEOUT_MS: { parse: int(100, 600_000).default(20_000), help: 'Time limit of one reply.' },
  RESPONDER_CONCURRENCY: {
    parse: int(1, 10_000).default(100),
    help: 'Replies that one API waits for at once; beyond that, messages are taken without one.',
  },
  MAX_BODY_BYTES: { parse: int(1_024, 16_777_216).default(1_048_576), help: 'Largest request body, bytes.' },
  ACCEPT_DEADLINE_MS: {
    parse: int(50, 60_000).default(2_000),
    help: 'An accept that has not committed within this time answers 503.',
  },
  ACCEPT_BUFFER_BYTES: {
    parse: int(1_024, 4_294_967_296).default(67_108_864),
    help: 'Request bodies held in memory at once, bytes; beyond that, new requests answer 503.',
  },
  RESPONSE_CACHE_SECONDS: {
    parse: int(0, 60).default(2),
    help: 'How long an API keeps statuses of PROCESSED conversations that were asked for; 0: not at all.',
  },
  PUBLISH_GRACE_MS: {
    parse: int(100, 600_000).default(5_000),
    help: 'Time for an accepted event to be published and confirmed before the relay takes over.',
  },
  REPUBLISH_AFTER_MS: {
    parse: int(1_000, 604_800_000).default(21_600_000),
    help:
      'How long a published event that is still open is left alone. After four times this, ' +
      'it is published again, whatever is in the queue.',
  },
  LOST_AFTER_MS: {
    parse: int(1_000, 86_400_000).default(60_000),
    help: 'With an empty queue, a published event that no worker holds counts as lost after this and is republished.',
  },
  RELAY_INTERVAL_MS: { parse: int(50, 60_000).default(1_000), help: 'How often a process looks for due events.' },
  RETRY_BASE_MS: {
    parse: int(1, 3_600_000).default(5_000),
    help: 'Delay before the second attempt; doubles with each further attempt.',
  },
  RETRY_CAP_MS: {
    parse: int(1, 86_400_000).default(3_600_000),
    help: 'Longest delay between attempts, before the jitter of 20 %.',
  },
  MAX_ATTEMPTS: { parse: int(1, 100).default(5), help: 'Attempts before an event is FAILED and dead-lettered.' },
  POISON_STARTS: {
    parse: int(1, 100).default(3),
    help: 'Unfinished starts after which a redelivered event is FAILED as POISON.',
  },
  DRAIN_MS: {
    parse: int(0, 600_000).default(20_000),
    help: "Time for work in flight after SIGTERM. Keep it below the orchestrator's grace period.",
  },
  START_DEADLINE_MS: {
    parse: int(0, 600_000).default(30_000),
    help: 'How long a process waits for the database at start-up.',
  },
  DATABASE_POOL_SIZE: { parse: int(2, 1_000).default(10), help: 'Most database connections per process.' },
  AFTERWORD_PROFILE: {
    parse: oneOf(...profiles).optional(),
    help:
      'dev: one worker with one conversation at a time and debug logs. prod: workers by the cores, concurrency for ' +
      'scorers that use the CPU, JSON logs. Whatever is set by hand wins. Default: neither.',
  },
  LOG_LEVEL: {
    parse: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent').default('info'),
    help: 'Lowest level that is logged.',
  },
  LOG_FORMAT: {
    parse: oneOf('json', 'pretty').optional(),
    help: 'json or pretty. Default: pretty in a terminal, json elsewhere.',
  },
} as const satisfies Record<string, { parse: z.ZodType; help: string; secret?: true }>;

function oneOf<const T extends readonly string[]>(...values: T) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}

function int(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^-?\d+$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message));
}

/** A share of what there is, or bytes; null: no limit. */
export type MemorySetting = { readonly share: number } | { readonly bytes: number } | null;

function memory() {
  const message = 'must be a percentage from 1% to 100%, a size such as 600M or 2G, or 0 for no limit';
  return z
    .string()
    .regex(/^(?:0|[1-9]\d{0,7}[MG]|100%|[1-9]\d?%)$/, message)
    .transform((text): MemorySetting => {
      const value = Number.parseInt(text, 10);
      if (value === 0) return null;
      return text.endsWith('%') ? { share: value / 100 } : { bytes: value * 1_024 ** (text.endsWith('G') ? 3 : 2) };
    });
}

/** Null: off. */
function cron() {
  return z
    .string()
    .refine((text) => text === 'off' || isCron(text), 'must be a cron expression such as 0 3 * * *, or off')
    .transform((text) => (text === 'off' ? null : text));
}

function isCron(text: string): boolean {
  try {
    return new Cron(text, { paused: true }).nextRun() !== null;
  } catch {
    return false;
  }
}

function weight() {
  const message = 'must be a number from -1000 to 1000';
  return z
    .string()
    .regex(/^-?\d+(\.\d+)?$/, message)
    .transform(Number)
    .pipe(z.number().min(-1_000, message).max(1_000, message));
}

function isHostOrSubnet(text: string): boolean {
  return text.includes('/') ? isAddress(text) : /^[\w.:-]+$/.test(text);
}

/** Or a subnet. */
function isAddress(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}
