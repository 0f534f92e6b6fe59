import { type Finding, isAtLeast, judge } from './finding.ts';
import type { BrokerFacts, DatabaseFacts } from './ports.ts';

/** The oldest releases that the tests run against. */
const oldest = { mariadb: [10, 11], mysql: [8, 4], rabbitmq: [3, 10] } as const;
/** A batch of accepts is at most 4 MiB of text, which escaping may double, plus the rest of the statement. */
const leastPacket = 9 * 1_024 * 1_024;
const maxSkewMs = 1_000;
/** The `wait_timeout` that our sessions set. */
const mostIdleS = 60;
/** Each client takes one: enough for a thousand clients and our connections to the servers, with room to spare. */
const leastFiles = 4_096;

export function judgeDatabase(
  db: DatabaseFacts,
  plan: { readonly members: number; readonly poolSize: number; readonly maxBodyBytes: number },
): Finding[] {
  const server = db.isMariaDb ? 'mariadb' : 'mysql';
  const needed = plan.members * plan.poolSize;
  // A row with the largest body is sent alone. Numbers such as 1e20 grow fivefold when they are written out.
  const packet = Math.max(leastPacket, 5 * plan.maxBodyBytes + 1_048_576);
  return [
    judge(
      'database version',
      isAtLeast(db.version, oldest[server]),
      `${db.isMariaDb ? 'MariaDB' : 'MySQL'} ${db.version}`,
      {
        warn: `Afterword is tested with ${oldest[server].join('.')} and later: upgrade the server`,
      },
    ),
    judge('schema', db.schemaCurrent, db.schemaCurrent ? 'up to date' : 'older than this version', {
      fail: 'run `afterword migrate`',
    }),
    judge('writable', db.writesRefused === null, db.writesRefused ?? 'yes', {
      fail:
        'nothing can be accepted or settled: point DATABASE_URL at the primary, SET GLOBAL read_only = 0, ' +
        'or GRANT SELECT, INSERT, UPDATE',
    }),
    // 3 is MariaDB's: like 1, and also durable before the binary log is written.
    judge(
      'durable commits',
      db.flushAtCommit === 1 || db.flushAtCommit === 3,
      `innodb_flush_log_at_trx_commit = ${db.flushAtCommit}`,
      {
        fail: 'a crash of the server loses accepted conversations: set innodb_flush_log_at_trx_commit = 1',
      },
    ),
    judge(
      'durable binary log',
      !db.binaryLog || db.syncBinlog === 1,
      db.binaryLog ? `sync_binlog = ${db.syncBinlog}` : 'no binary log',
      {
        warn: 'after a crash, replicas and restores may lack accepted conversations: set sync_binlog = 1',
      },
    ),
    judge('character set', db.charset === 'utf8mb4', db.charset, {
      fail: 'names with emoji would be refused: a proxy may change the character set of the connection',
    }),
    judge('time zone', db.sessionOffsetMinutes === 0, `sessions are ${db.sessionOffsetMinutes} min from UTC`, {
      fail: 'times would be stored wrongly: a proxy that pools statements may reset the session',
    }),
    judge(
      'vanished hosts',
      db.idleLimitS <= mostIdleS,
      `the server ends a silent session, and its locks, after ${db.idleLimitS} s`,
      {
        warn:
          `a host that loses power in a transaction would keep rows locked for ${db.idleLimitS} s: a proxy may drop ` +
          `the limits that our sessions set; set wait_timeout = ${mostIdleS} on the server`,
      },
    ),
    judge(
      'clock',
      Math.abs(db.clockSkewMs) <= maxSkewMs,
      `the server is off by ${db.clockSkewMs} ms from this machine (round trip ${db.roundTripMs} ms)`,
      {
        warn: "event ids carry the time of this machine, all other times are the server's: run NTP on both",
      },
    ),
    judge(
      'connections',
      needed + 5 <= db.maxConnections,
      `${needed} needed at most, ${db.connections} of ${db.maxConnections} open now`,
      {
        warn:
          '(WORKER_REPLICAS + 1) x DATABASE_POOL_SIZE, with a few to spare for people and maintenance: ' +
          'lower DATABASE_POOL_SIZE or raise max_connections',
      },
    ),
    judge('packet size', db.maxAllowedPacket >= packet, `max_allowed_packet = ${db.maxAllowedPacket} bytes`, {
      warn: `large conversations would be refused: set max_allowed_packet to at least ${packet}`,
    }),
  ];
}

export function judgeBroker(
  broker: BrokerFacts,
  plan: { readonly queueType: string; readonly maxLength: number },
): Finding[] {
  const { queues, deadQueue } = broker;
  const consumers = queues.reduce((n, queue) => n + queue.consumers, 0);
  return [
    judge(
      'broker version',
      broker.product !== 'RabbitMQ' || isAtLeast(broker.version, oldest.rabbitmq),
      `${broker.product} ${broker.version}`,
      {
        warn: `Afterword is tested with RabbitMQ ${oldest.rabbitmq.join('.')} and later: upgrade the broker`,
      },
    ),
    judge(
      'alarms',
      !broker.blocked && broker.confirmMs !== null,
      broker.confirmMs === null ? 'a message was not confirmed' : `a message was confirmed in ${broker.confirmMs} ms`,
      {
        fail:
          'the broker takes no messages (memory or disk alarm: `rabbitmq-diagnostics alarms`); ' +
          'accepted conversations wait in the database until it does',
      },
    ),
    ...(broker.mismatch === null
      ? []
      : [{ check: 'queue arguments', status: 'fail', found: 'not as configured', advice: broker.mismatch } as const]),
    ...(queues.length === 0
      ? [
          {
            check: 'queue',
            status: 'warn',
            found: 'not declared yet',
            advice: 'the first API or worker to start declares it',
          } as const,
        ]
      : [
          judge('queue', consumers > 0, queues.map(({ name, messages }) => `${name}: ${messages} waiting`).join(', '), {
            warn: 'no consumers: start workers (`afterword worker`)',
          }),
        ]),
    // Workers lend the slots of a lane that has nothing to do, so that one without consumers is not wrong by itself.
    ...queues
      .filter((queue) => consumers > 0 && queue.messages > 0 && queue.consumers === 0)
      .map(
        ({ name, messages }) =>
          ({
            check: 'lane',
            status: 'warn',
            found: `${name}: ${messages} waiting, and no worker takes them at this moment`,
            advice: 'if that stays so, WORKER_LANES of every worker leaves it out, or all are of an older version',
          }) as const,
      ),
    judge('queue type', plan.queueType === 'quorum', plan.queueType, {
      warn:
        'a classic queue lives on one node: if that is lost, its messages are published again from the database, ' +
        'but only later. quorum is the default',
    }),
    ...queues
      .filter((queue) => queue.messages >= plan.maxLength * 0.8)
      .map(
        ({ name, messages }) =>
          ({
            check: 'queue length',
            status: 'warn',
            found: `${name}: ${messages} of ${plan.maxLength}`,
            advice: 'nearly full: add workers; when it is full, events wait in the database',
          }) as const,
      ),
    judge('dead letters', (deadQueue?.messages ?? 0) === 0, `${deadQueue?.messages ?? 0}`, {
      warn: 'look at them with `afterword dead list`, then `dead replay` or `dead purge`',
    }),
  ];
}

/** `longestWaitMs`: of a delivery, with a full prefetch and every scoring running to its deadline. */
export function judgeProcess(facts: {
  readonly node: string;
  readonly openFiles: number | null;
  readonly cores: number;
  readonly threads: number;
  /** The most deliveries that a worker holds. */
  readonly inFlight: number;
  /** What the scorer declares; null if it declares nothing. */
  readonly waits: boolean | null;
  readonly replicas: number;
  readonly longestWaitMs: number;
  readonly consumerTimeoutMs: number;
  /** Why the scorer failed on the sample; null if it did not. */
  readonly scorerFailed: string | null;
  readonly scorer: string;
}): Finding[] {
  return [
    judge(
      'scorer',
      facts.scorerFailed === null,
      facts.scorerFailed ?? `${facts.scorer} scored a conversation in a thread`,
      {
        fail: 'no conversation can be scored: check SCORER_MODULE and what its module depends on',
      },
    ),
    judge(
      'threads',
      facts.threads <= facts.cores,
      `${facts.threads} per worker, ${facts.cores} cores here (${facts.replicas} workers)`,
      {
        warn:
          'more threads than cores gain nothing, even with a scorer that waits, and take 12 MiB each: ' +
          'lower SCORING_THREADS',
      },
    ),
    ...(facts.scorerFailed === null
      ? [{ check: 'concurrency', status: 'ok', found: concurrencyOf(facts) } as const]
      : []),
    judge(
      'consumer timeout',
      facts.longestWaitMs <= facts.consumerTimeoutMs,
      `a delivery may take ${Math.ceil(facts.longestWaitMs / 1_000)} s if every scoring runs to its deadline; ` +
        `RabbitMQ allows ${facts.consumerTimeoutMs / 1_000} s by default (AMQP does not report the setting)`,
      {
        warn:
          'lower MESSAGE_CONCURRENCY_PER_WORKER or SCORING_TIMEOUT_MS, raise consumer_timeout on the broker, ' +
          'or let a scorer that waits declare waits: true',
      },
    ),
    judge(
      'open files',
      facts.openFiles === null || facts.openFiles >= leastFiles,
      facts.openFiles === null ? 'unlimited' : `${facts.openFiles} (soft limit)`,
      {
        warn: `each client takes one: raise it to ${leastFiles} or more (ulimit -n, or LimitNOFILE of the service)`,
      },
    ),
    { check: 'node', status: 'ok', found: facts.node },
  ];
}

function concurrencyOf({ inFlight, threads, waits, replicas }: Parameters<typeof judgeProcess>[0]): string {
  const busy = Math.min(inFlight, threads);
  const fleet = (each: number) => (replicas === 1 ? '' : `; ${each * replicas} in ${replicas} workers`);
  if (waits === false)
    return (
      `${busy} ${busy === 1 ? 'scoring' : 'scorings'} at a time, ` +
      `${inFlight} prefetched (the scorer declares waits: false)${fleet(busy)}`
    );
  const least = waits === true ? '' : ` (${busy} if the scorer only uses the CPU)`;
  return `up to ${inFlight} scorings at a time on ${threads} threads${least}${fleet(inFlight)}`;
}
