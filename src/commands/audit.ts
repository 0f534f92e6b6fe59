import type { Config } from '../config.ts';
import type { EventId } from '../event/event.ts';
import { refsOf } from '../event/message.ts';
import { type AuditReport, type AuditSources, audit } from '../operate/index.ts';
import type { ReadFrom } from '../replica/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { replicaForTool } from '../start/replica.ts';
import { brokerAway, openToolLetters, openToolStore, quiet } from '../start/tool.ts';
import { openToolRedis } from '../start/tool-redis.ts';
import {
  countStatus,
  endOfUserPage,
  failedPage,
  findEvent,
  findOddEvents,
  readSessionPage,
  readUserPage,
  type Store,
  stillFailed,
  usersSince,
} from '../store/index.ts';
import { counted, plain, printLine, printReport, verdict } from '../terminal/print.ts';

type AuditOptions = {
  readonly since?: Date;
  /** Milliseconds. */
  readonly overdue: number;
  readonly letters: boolean;
  readonly json: boolean;
};

/** Generous, because a page of users with very many events is one statement. */
const deadlineMs = 300_000;
/** A FAILED row is committed before its message is dead-lettered. */
const letterOnItsWayMs = 5_000;

/**
 * Checks a live system against its promises.
 * @returns exit code: 1 if a promise is broken, 3 if not everything could be checked.
 */
export async function runAudit(config: Config, options: AuditOptions): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const replica = stack.adopt(await replicaForTool(config, store, quiet), (r) => r?.close());
  const report = await audit(auditSources(config, store, { overdueMs: options.overdue }, replica?.read), {
    since: options.since ?? null,
    letters: options.letters,
  });
  if (options.json) printReport(report);
  else print(report, config.redisUrl !== null || report.checked.sessions > 0);
  if (!report.ok) return exitCodes.failed;
  return report.undecided ? exitCodes.undecided : exitCodes.ok;
}

/** @param heavy  where whole tables are read from: a replica, whose snapshots are as consistent as the primary's. */
export function auditSources(
  config: Config,
  store: Store,
  options: { readonly overdueMs: number },
  heavy: ReadFrom<Store> = (read) => read(store),
): AuditSources {
  return {
    findOddEvents: (limit) => findOddEvents(store, { overdueMs: options.overdueMs, limit, deadlineMs }),
    countStatus: (status) => countStatus(store, status, deadlineMs),
    endOfUserPage: (after, size) => heavy((from) => endOfUserPage(from, after, size, deadlineMs)),
    readUserPage: (users) => heavy((from) => readUserPage(from, users, deadlineMs)),
    usersSince: (page) => usersSince(store, page, deadlineMs),
    failedPage: (page) => failedPage(store, { ...page, settledMs: letterOnItsWayMs }, deadlineMs),
    stillFailed: (ids) => stillFailed(store, ids, letterOnItsWayMs, deadlineMs),
    deadLetters: (limit) => lookAtLetters(config, store, limit),
    sessionPage: (page) => readSessionPage(store, page, deadlineMs),
    pendingMessages: () => lookAtPending(config),
  };
}

/** A broker that does not answer is an obstacle, not a failure: the database is audited anyway. */
async function lookAtLetters(config: Config, store: Store, limit: number): ReturnType<AuditSources['deadLetters']> {
  const eventIds = new Set<EventId>();
  const conversationIds = new Set<string>();
  let count: number;
  try {
    await using stack = new AsyncDisposableStack();
    const letters = stack.adopt(await openToolLetters(config), (l) => l.close());
    count = await letters.count();
    await letters.walk(limit, async (letter) => {
      // All the ids it carries: one that does not belong to an event of ours does no harm.
      for (const ref of refsOf(letter)) {
        if ('eventId' in ref) eventIds.add(ref.eventId);
        else conversationIds.add(ref.conversationId);
      }
      return 'leave';
    });
  } catch (error) {
    const [obstacle = ''] = (brokerAway(config, error) as Error).message.split('\n');
    return { obstacle };
  }
  for (const conversationId of conversationIds) {
    const event = await findEvent(store, { conversationId }, deadlineMs);
    if (event) eventIds.add(event.event_id as EventId);
  }
  return { count, eventIds };
}

/** A message waits for its sync; twice that is late, and more than three times is a broken promise. */
const intervalsToWait = 3;

/** A Redis that does not answer is an obstacle, too: the database is audited anyway. */
async function lookAtPending(config: Config): ReturnType<AuditSources['pendingMessages']> {
  if (config.redisUrl === null) return null;
  try {
    await using stack = new AsyncDisposableStack();
    const { live } = stack.adopt(await openToolRedis({ ...config, redisUrl: config.redisUrl }), (r) => r.close());
    const { oldest } = await live.backlog();
    const waitedMs = oldest === null ? 0 : Math.max(0, Date.now() - oldest.getTime());
    return { waitedMs, mayWaitMs: intervalsToWait * config.syncIntervalMs };
  } catch (error) {
    const [obstacle = ''] = (error as Error).message.split('\n');
    return { obstacle };
  }
}

const rules: readonly [AuditReport['violations'][number]['rule'], string][] = [
  ['open-is-due', 'every open event has a time when it is due'],
  ['closed-is-not-due', 'no closed event has such a time'],
  ['overdue', 'no event has been due for long'],
  ['result', 'every processed event has its result'],
  ['friendship', "each user's score, level and date match the processed events"],
  ['topic', 'each topic matches the processed events'],
  ['dead-letter', 'every failed event has its dead letter'],
  ['session-count', 'every live session counts its messages'],
  ['session-event', 'the event of a session is what was said in it'],
  ['session-pending', 'no message is pending for more than three intervals'],
];

function print(report: AuditReport, withSessions: boolean): void {
  const { checked } = report;
  printLine(
    `checked ${checked.users} users and ${checked.topics} topics against ${checked.processed} processed events` +
      (checked.sessions === 0 ? '' : `, and ${counted(checked.sessions, 'live session')}`) +
      (report.since ? `, users with an event since ${report.since.toISOString()}` : ''),
  );
  printLine(
    `now pending ${checked.pending}, processing ${checked.processing}, failed ${checked.failed}, ` +
      `skipped ${checked.skipped}, ` +
      `dead letters ${checked.deadLetters ?? 'unknown'}\n`,
  );
  for (const [rule, text] of rules) {
    if (rule.startsWith('session-') && !withSessions) continue;
    const broken = report.violations.filter((v) => v.rule === rule);
    // Without --letters, missing letters are only a note.
    const unknown =
      (rule === 'dead-letter' && report.failedWithoutLetter !== 0) ||
      (rule === 'session-pending' && report.pendingUnknown);
    const status = broken.length > 0 ? 'fail' : unknown ? 'unknown' : 'ok';
    const more = broken.length > 0 ? `: ${counted(broken.length, 'violation')}` : unknown ? ' (see the note)' : '';
    printLine(`${verdict(status)}${text}${more}`);
    for (const v of broken) {
      const ids = [v.event_id, v.session_id, v.user_id, v.topic_id].filter((id) => id !== undefined);
      printLine(`        ${plain([...ids, v.detail].join(' '))}`);
    }
  }
  for (const note of report.notes) printLine(`note  ${note}`);
  if (report.cut) printLine('note  there are more violations; these are the first 10,000');
  printLine(`\n${lastLine(report)}`);
}

function lastLine({ violations, undecided }: AuditReport): string {
  if (violations.length > 0) return counted(violations.length, 'violation');
  return undecided
    ? 'undecided: not everything could be checked (see the notes); nothing else was found'
    : 'no violations found';
}
