import type { Config } from '../config.ts';
import { type EventId, type EventRef, type EventStatus, firstEventIdAt, isOpen, parseEventId } from '../event/event.ts';
import { faultOf } from '../event/fault.ts';
import type { EventView } from '../report/index.ts';
import { presentEvent } from '../report/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { pause } from '../runtime/wait.ts';
import { statementDeadlineMs as deadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import {
  findEvent,
  findText,
  listEvents,
  makeDue,
  noteAction,
  republishOpen,
  retryEvent,
  retryFailed,
  type Store,
  skipEvent,
} from '../store/index.ts';
import { counted, plain, printFields, printJson, printLine, printTable } from '../terminal/print.ts';

/** The API's operator calls, from a shell. They go to the database, so they work even while no API is running. */

const batch = 1_000;
const maxTries = 5;
const never = new AbortController().signal;

export async function runEventsList(
  config: Config,
  options: {
    readonly status?: EventStatus;
    readonly user?: string;
    readonly error?: string;
    readonly since?: Date;
    /** Event id: the page after it. */
    readonly before?: string;
    readonly limit: number;
    readonly json: boolean;
  },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const filter = {
    ...(options.status && { status: options.status }),
    // Only failed and retried events have an error code: the index by status is far shorter.
    ...(options.error !== undefined && { errorCode: options.error, status: options.status ?? ('FAILED' as const) }),
    ...(options.user !== undefined && { userId: options.user }),
    ...(options.since && { from: firstEventIdAt(options.since) }),
    ...(options.before !== undefined && { before: options.before }),
  };
  // One more than asked for tells whether there are more.
  const found = await listEvents(store, filter, { limit: options.limit + 1, deadlineMs });
  const events = found.slice(0, options.limit);
  if (options.json) printJson(events.map((row) => presentEvent(row)));
  else if (events.length === 0) printLine('no events found');
  else {
    printTable(
      columns,
      events.map((row) => [
        row.event_id,
        row.conversation_id,
        row.user_id,
        row.status,
        row.lane,
        row.attempt_count,
        row.created_at,
        row.next_attempt_at,
        row.error_code,
      ]),
    );
  }
  if (found.length > options.limit) {
    process.stderr.write(
      `… and older events: use --limit for more, or --before ${events.at(-1)?.event_id} for the next page\n`,
    );
  }
  return exitCodes.ok;
}

const columns = [
  { head: 'EVENT', min: 13, rank: 2 },
  { head: 'CONVERSATION', min: 16 },
  { head: 'USER', min: 10, rank: 4 },
  { head: 'STATUS' },
  { head: 'LANE', rank: 7 },
  { head: 'ATTEMPTS', rank: 1 },
  { head: 'ACCEPTED', rank: 5 },
  { head: 'NEXT ATTEMPT', rank: 3 },
  { head: 'ERROR', min: 8, rank: 6 },
] as const;

export async function runEventsShow(
  config: Config,
  id: string,
  options: { readonly log: boolean; readonly json: boolean },
): Promise<number> {
  return withEvent(config, id, async (store, row) => {
    const view = options.log
      ? presentEvent(row, ['log', 'metadata'], await findText(store, row.event_id, deadlineMs))
      : presentEvent(row);
    if (options.json) printJson(view);
    else printFields(view);
    return exitCodes.ok;
  });
}

/** @param id  one FAILED event; undefined: all FAILED events that match `filter`. */
export async function runEventsRetry(
  config: Config,
  id: string | undefined,
  filter: { readonly error?: string; readonly before?: Date; readonly limit: number; readonly json: boolean },
): Promise<number> {
  if (id !== undefined) {
    return withEvent(config, id, async (store, row) =>
      tell(row, await retryEvent(store, row.conversation_id, { actor: operatorName(), deadlineMs }), {
        status: 'PENDING',
        done: 'is due again with a fresh count of attempts',
        rule: 'only FAILED events are retried',
        json: filter.json,
      }),
    );
  }
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  let retried = 0;
  let after: EventId | null = null;
  do {
    const given = {
      ...(filter.error !== undefined && { errorCode: filter.error }),
      ...(filter.before && { before: filter.before }),
    };
    const page: Awaited<ReturnType<typeof retryFailed>> = await patiently(() =>
      retryFailed(
        store,
        { ...given, ...(after && { after }) },
        { limit: Math.min(batch, filter.limit - retried), actor: operatorName(), deadlineMs },
      ),
    );
    retried += page.retried;
    after = page.last;
  } while (after !== null && retried < filter.limit);
  if (filter.json) printJson({ retried });
  else
    printLine(
      `${counted(retried, 'FAILED event')} ${retried === 1 ? 'is' : 'are'} due again; ` +
        `the fleet publishes ${retried === 1 ? 'it' : 'them'}`,
    );
  return exitCodes.ok;
}

export async function runEventsSkip(
  config: Config,
  id: string,
  options: { readonly reason: string; readonly json: boolean },
): Promise<number> {
  return withEvent(config, id, async (store, row) =>
    tell(
      row,
      await skipEvent(store, row.conversation_id, options.reason, {
        ...{ actor: operatorName(), deadlineMs },
        hasStream: config.hasEventStream,
      }),
      {
        status: 'SKIPPED',
        done: 'will never be scored',
        rule: 'only PENDING events are skipped',
        json: options.json,
      },
    ),
  );
}

export async function runEventsRunNow(
  config: Config,
  id: string,
  options: { readonly json: boolean },
): Promise<number> {
  return withEvent(config, id, async (store, row) => {
    if (!isOpen(row.status)) {
      process.stderr.write(`afterword: only open events are run; ${plain(row.conversation_id)} is ${row.status}\n`);
      return exitCodes.failed;
    }
    const eventId = row.event_id as EventId;
    await makeDue(store, eventId, deadlineMs);
    await noteAction(store, { actor: operatorName(), kind: 'run-now', target: eventId, value: null }, deadlineMs);
    if (options.json) printJson({ conversation_id: row.conversation_id, event_id: row.event_id, status: row.status });
    else printLine(`${plain(row.conversation_id)} is due now; the fleet publishes it`);
    return exitCodes.ok;
  });
}

/** @param olderThan  milliseconds since the event was accepted. */
export async function runEventsRepublish(
  config: Config,
  options: { readonly olderThan: number; readonly json: boolean },
): Promise<number> {
  const before = new Date(Date.now() - options.olderThan);
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  let due = 0;
  for (const status of ['PENDING', 'PROCESSING'] as const) {
    let after: EventId | null = null;
    do {
      const options = { status, after, before, graceMs: config.publishGraceMs, limit: batch, deadlineMs };
      const page: Awaited<ReturnType<typeof republishOpen>> = await patiently(() => republishOpen(store, options));
      due += page.made;
      after = page.next;
    } while (after !== null);
  }
  const action = { actor: operatorName(), kind: 'republish', target: 'open events', value: String(due) } as const;
  await noteAction(store, action, deadlineMs);
  if (options.json) printJson({ republished: due });
  else
    printLine(
      `${counted(due, 'open event')} due now; the fleet publishes them. An event that is scored twice counts once`,
    );
  return exitCodes.ok;
}

/** Retries a page when the running fleet wins a deadlock. */
async function patiently<T>(page: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await page();
    } catch (error) {
      if (faultOf(error) !== 'transient' || tries === maxTries) throw error;
      await pause(100 * tries, never);
    }
  }
}

/** An event id or a conversation id. */
async function withEvent(
  config: Config,
  id: string,
  work: (store: Store, row: EventView) => Promise<number>,
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const eventId = parseEventId(id);
  const refs: EventRef[] = [...(eventId === null ? [] : [{ eventId }]), { conversationId: id }];
  for (const ref of refs) {
    const row = await findEvent(store, ref, deadlineMs);
    if (row) return await work(store, row); // before the store closes
  }
  process.stderr.write(`afterword: no event or conversation has the id ${plain(id)}\n`);
  return exitCodes.failed;
}

function tell(
  row: EventView,
  operated: Awaited<ReturnType<typeof retryEvent>>,
  {
    status,
    done,
    rule,
    json,
  }: { readonly status: EventStatus; readonly done: string; readonly rule: string; readonly json: boolean },
): number {
  if (operated.kind === 'done') {
    if (json) printJson({ conversation_id: row.conversation_id, event_id: row.event_id, status });
    else printLine(`${plain(row.conversation_id)} ${done}`);
    return exitCodes.ok;
  }
  if (operated.kind === 'no-text') {
    process.stderr.write(
      `afterword: the text of ${plain(row.conversation_id)} was removed; it cannot be scored again\n`,
    );
    return exitCodes.failed;
  }
  const is = operated.kind === 'wrong-state' ? operated.status : 'gone';
  process.stderr.write(`afterword: ${rule}; ${plain(row.conversation_id)} is ${is}\n`);
  return exitCodes.failed;
}
