import type { EventId, EventStatus } from '../../event/event.ts';
import { judgeSessions } from './judge-sessions.ts';
import { judgeUsers } from './judge-users.ts';
import type { OddEvent, SessionFacts, UserPage, Users } from './ports.ts';

/** What the audit reads. Each call is one short statement or snapshot. */
export type AuditSources = {
  readonly findOddEvents: (
    limit: number,
  ) => Promise<Record<'openAndNeverDue' | 'closedAndDue' | 'overdue', readonly OddEvent[]>>;
  readonly countStatus: (status: EventStatus) => Promise<number>;
  readonly endOfUserPage: (after: string, size: number) => Promise<string | null>;
  readonly readUserPage: (users: Users) => Promise<UserPage>;
  readonly usersSince: (page: {
    from: EventId;
    size: number;
  }) => Promise<{ users: readonly string[]; next: EventId | null }>;
  readonly failedPage: (page: { after: EventId; size: number }) => Promise<readonly EventId[]>;
  readonly stillFailed: (ids: readonly EventId[]) => Promise<readonly EventId[]>;
  /** Live sessions in the order of their ids. */
  readonly sessionPage: (page: { after: string; size: number; since: Date | null }) => Promise<readonly SessionFacts[]>;
  /**
   * What Redis has for the database: how long the oldest message has waited, and how long it may. Null: there are no
   * live sessions. Or why Redis could not be asked.
   */
  readonly pendingMessages: () => Promise<
    { readonly waitedMs: number; readonly mayWaitMs: number } | { readonly obstacle: string } | null
  >;
  /** The number of dead letters, and the events of the first `limit`; or why the broker could not be asked. */
  readonly deadLetters: (
    limit: number,
  ) => Promise<{ readonly count: number; readonly eventIds: ReadonlySet<EventId> } | { readonly obstacle: string }>;
};

type SessionRule = 'session-count' | 'session-event' | 'session-pending';

type Violation = {
  readonly rule:
    | 'open-is-due'
    | 'closed-is-not-due'
    | 'overdue'
    | 'result'
    | 'friendship'
    | 'topic'
    | 'dead-letter'
    | SessionRule;
  readonly event_id?: EventId;
  readonly session_id?: string;
  readonly user_id?: string;
  readonly topic_id?: string;
  readonly detail: string;
};

export type AuditReport = {
  /** No violation was found. `undecided` says whether everything was checked. */
  readonly ok: boolean;
  /** There are FAILED events whose dead letters could not be checked, or messages in a Redis that does not answer. */
  readonly undecided: boolean;
  /** What Redis has for the database could not be checked. */
  readonly pendingUnknown: boolean;
  readonly since: Date | null;
  readonly checked: {
    readonly users: number;
    readonly topics: number;
    readonly sessions: number;
    readonly processed: number;
    readonly pending: number;
    readonly processing: number;
    readonly failed: number;
    readonly skipped: number;
    /** Letters in the dead-letter queue; null: the broker did not answer. */
    readonly deadLetters: number | null;
  };
  readonly violations: readonly Violation[];
  /** There were more violations than were kept. */
  readonly cut: boolean;
  /**
   * FAILED events without a dead letter: violations if `letters` is set, else only a note. Null: they could not be
   * determined.
   */
  readonly failedWithoutLetter: number | null;
  readonly notes: readonly string[];
};

const userPage = 500;
const eventPage = 5_000;
/** With all that was said in them, and their events: at most a few hundred megabytes. */
const sessionPage = 50;
const maxViolations = 10_000;
const maxLetters = 10_000;

/**
 * Checks the promises on a live system: every open event has a due time and no closed one has, nothing has been due for
 * long, each user's friendship and topics are the exact sums of the processed events, FAILED events have their dead
 * letters, and live sessions are what was said in them.
 *
 * @param options.since  only users with an event accepted since; null: all.
 * @param options.letters  count a FAILED event without its dead letter as a violation (purging letters causes these).
 */
export async function audit(
  sources: AuditSources,
  options: { readonly since: Date | null; readonly letters: boolean },
): Promise<AuditReport> {
  const violations: Violation[] = [];
  const notes: string[] = [];
  let cut = false;
  const report = (violation: Violation) => {
    if (violations.length < maxViolations) violations.push(violation);
    else cut = true;
  };

  const odd = await sources.findOddEvents(maxViolations);
  for (const e of odd.openAndNeverDue)
    report({ rule: 'open-is-due', event_id: e.eventId, detail: `${e.status} and never due` });
  for (const e of odd.closedAndDue)
    report({ rule: 'closed-is-not-due', event_id: e.eventId, detail: `${e.status} and due` });
  for (const e of odd.overdue) {
    report({
      rule: 'overdue',
      event_id: e.eventId,
      detail: `due since ${e.nextAttemptAt?.toISOString()}, not published yet`,
    });
  }

  const checked = { users: 0, topics: 0, processed: 0 };
  const judge = async (users: Users) => {
    const page = await sources.readUserPage(users);
    checked.users += page.friendships.length;
    checked.topics += page.topics.length;
    checked.processed += page.sums.reduce((sum, s) => sum + s.events, 0);
    for (const v of judgeUsers(page)) {
      report({
        rule: v.rule,
        user_id: v.userId,
        ...(v.topicId !== undefined && { topic_id: v.topicId }),
        detail: v.detail,
      });
    }
  };
  if (options.since === null) await eachUser(sources, judge);
  else await eachUserSince(sources, options.since, judge);

  const letters = await compareLetters(sources, options.since);
  if (letters.obstacle !== null) {
    notes.push(`dead letters were not compared: ${letters.obstacle}`);
    if (options.letters) report({ rule: 'dead-letter', detail: `not compared: ${letters.obstacle}` });
  } else if (options.letters) {
    for (const id of letters.missing)
      report({ rule: 'dead-letter', event_id: id, detail: 'FAILED, but its dead letter is missing' });
  } else if (letters.missing.length > 0) {
    notes.push(
      `${letters.missing.length} FAILED events have no dead letter (purged, or lost with the broker); ` +
        `\`afterword events retry\` reaches them`,
    );
  }

  const sessions = await eachSession(sources, options.since, report);
  const pending = await sources.pendingMessages();
  if (pending !== null && 'obstacle' in pending) notes.push(`pending messages were not checked: ${pending.obstacle}`);
  else if (pending !== null && pending.waitedMs > pending.mayWaitMs) {
    const waited = Math.round(pending.waitedMs / 1_000);
    report({ rule: 'session-pending', detail: `a message has been pending in Redis for ${waited} s` });
  }

  const pendingUnknown = pending !== null && 'obstacle' in pending;
  const failed = await sources.countStatus('FAILED');
  return {
    ok: violations.length === 0,
    undecided: (letters.obstacle !== null && failed > 0) || pendingUnknown,
    pendingUnknown,
    since: options.since,
    checked: {
      ...checked,
      sessions,
      pending: await sources.countStatus('PENDING'),
      processing: await sources.countStatus('PROCESSING'),
      failed,
      skipped: await sources.countStatus('SKIPPED'),
      deadLetters: letters.count,
    },
    violations,
    cut,
    failedWithoutLetter: letters.obstacle === null ? letters.missing.length : null,
    notes,
  };
}

/** @returns how many there are. */
async function eachSession(
  sources: AuditSources,
  since: Date | null,
  report: (violation: Violation) => void,
): Promise<number> {
  let sessions = 0;
  for (let after = ''; ; ) {
    const page = await sources.sessionPage({ after, size: sessionPage, since });
    sessions += page.length;
    for (const { rule, sessionId, detail } of judgeSessions(page)) report({ rule, session_id: sessionId, detail });
    const last = page.at(-1);
    if (last === undefined || page.length < sessionPage) return sessions;
    after = last.sessionId;
  }
}

async function eachUser(sources: AuditSources, judge: (users: Users) => Promise<void>): Promise<void> {
  for (let after = ''; ; ) {
    const upTo = await sources.endOfUserPage(after, userPage);
    await judge({ after, upTo });
    if (upTo === null) return;
    after = upTo;
  }
}

async function eachUserSince(
  sources: AuditSources,
  since: Date,
  judge: (users: Users) => Promise<void>,
): Promise<void> {
  const seen = new Set<string>();
  for (let from: EventId | null = firstIdOf(since); from !== null; ) {
    const page = await sources.usersSince({ from, size: eventPage });
    const fresh = [...new Set(page.users)].filter((user) => !seen.has(user));
    for (const user of fresh) seen.add(user);
    for (let i = 0; i < fresh.length; i += userPage) await judge({ named: fresh.slice(i, i + userPage) });
    from = page.next;
  }
}

type Comparison = {
  readonly count: number | null;
  readonly obstacle: string | null;
  readonly missing: readonly EventId[];
};

/** Reads FAILED events before the letters, so that an event that fails meanwhile is not expected to have one. */
async function compareLetters(sources: AuditSources, since: Date | null): Promise<Comparison> {
  const failed: EventId[] = [];
  for (let after = since === null ? ('' as EventId) : firstIdOf(since); failed.length <= maxLetters; ) {
    const page = await sources.failedPage({ after, size: eventPage });
    failed.push(...page);
    const last = page.at(-1);
    if (page.length < eventPage || last === undefined) break;
    after = last;
  }
  // Without FAILED events there is nothing to compare, so the letters are only counted.
  const letters = await sources.deadLetters(failed.length === 0 ? 0 : maxLetters);
  if ('obstacle' in letters) return { count: null, obstacle: letters.obstacle, missing: [] };
  if (failed.length > 0 && Math.max(failed.length, letters.count) > maxLetters) {
    return { count: letters.count, obstacle: `there are more than ${maxLetters} (--since checks fewer)`, missing: [] };
  }
  const without = failed.filter((id) => !letters.eventIds.has(id));
  // An event that was replayed meanwhile is neither FAILED nor in the queue.
  return {
    count: letters.count,
    obstacle: null,
    missing: without.length > 0 ? await sources.stillFailed(without) : [],
  };
}

/** The smallest event id of a moment: a UUIDv7 begins with its milliseconds (RFC 9562). */
function firstIdOf(time: Date): EventId {
  const hex = Math.max(0, time.getTime()).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000` as EventId;
}
