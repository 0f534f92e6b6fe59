import type { Config } from '../config.ts';
import { type EventId, type EventRef, type EventStatus, parseEventId } from '../event/event.ts';
import { faultOf } from '../event/fault.ts';
import { presentEvent } from '../report/index.ts';
import { pause } from '../runtime/wait.ts';
import { findEvent, listEvents, republishOpen, retryEvent, retryFailed, type ShownEvent, type Store, skipEvent } from '../store/index.ts';
import { exitCodes } from './exit-codes.ts';
import { statementDeadlineMs as deadlineMs } from './parts.ts';
import { printJson, printLine, printTable } from './print.ts';
import { openToolStore } from './tools.ts';

/** The API's operator calls from a shell. They go to the database: they also work while no API runs. */

const batch = 1_000;
const maxTries = 5;
const never = new AbortController().signal;

export async function runEventsList(
  config: Config,
  options: { readonly status?: EventStatus; readonly user?: string; readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const filter = { ...(options.status && { status: options.status }), ...(options.user !== undefined && { userId: options.user }) };
  const events = await listEvents(store, filter, { limit: options.limit, deadlineMs });
  if (options.json) printJson(events.map((row) => presentEvent(row)));
  else if (events.length === 0) printLine('no such events');
  else {
    printTable(
      ['EVENT', 'CONVERSATION', 'USER', 'STATUS', 'ATTEMPTS', 'ACCEPTED', 'NEXT ATTEMPT', 'ERROR'],
      events.map((row) => [
        row.event_id,
        row.conversation_id,
        row.user_id,
        row.status,
        row.attempt_count,
        row.created_at.toISOString(),
        row.next_attempt_at?.toISOString() ?? null,
        row.error_code,
      ]),
    );
  }
  return exitCodes.ok;
}

export async function runEventsShow(
  config: Config,
  id: string,
  options: { readonly log: boolean; readonly json: boolean },
): Promise<number> {
  return withEvent(config, id, options.log, async (_store, row) => {
    const view = presentEvent(row, { withLog: options.log });
    if (options.json) printJson(view);
    else
      printTable(
        ['FIELD', 'VALUE'],
        Object.entries(view).map(([name, value]) => [name, shown(value)]),
      );
    return exitCodes.ok;
  });
}

/** @param id  one FAILED event; undefined: all FAILED ones that `filter` names. */
export async function runEventsRetry(
  config: Config,
  id: string | undefined,
  filter: { readonly error?: string; readonly before?: Date; readonly limit: number },
): Promise<number> {
  if (id !== undefined) {
    return withEvent(config, id, false, async (store, row) =>
      tell(
        row,
        await retryEvent(store, row.conversation_id, deadlineMs),
        'is due again with a fresh count of attempts',
        'only FAILED events are retried',
      ),
    );
  }
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  let retried = 0;
  let after: EventId | null = null;
  do {
    const given = { ...(filter.error !== undefined && { errorCode: filter.error }), ...(filter.before && { before: filter.before }) };
    const page: Awaited<ReturnType<typeof retryFailed>> = await patiently(() =>
      retryFailed(store, { ...given, ...(after && { after }) }, { limit: Math.min(batch, filter.limit - retried), deadlineMs }),
    );
    retried += page.retried;
    after = page.last;
  } while (after !== null && retried < filter.limit);
  printLine(`${retried} FAILED events are due again; the fleet publishes them`);
  return exitCodes.ok;
}

export async function runEventsSkip(config: Config, id: string, options: { readonly reason: string }): Promise<number> {
  return withEvent(config, id, false, async (store, row) =>
    tell(
      row,
      await skipEvent(store, row.conversation_id, options.reason, deadlineMs),
      'will never be scored',
      'only PENDING events are skipped',
    ),
  );
}

/** @param olderThan  milliseconds since the event was accepted. */
export async function runEventsRepublish(config: Config, options: { readonly olderThan: number }): Promise<number> {
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
  printLine(`${due} open events are due now; the fleet publishes them. What is scored twice by that counts once`);
  return exitCodes.ok;
}

/** A fleet at work beside us may win a deadlock: the page is tried again. */
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
  withLog: boolean,
  work: (store: Store, row: ShownEvent) => Promise<number>,
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const eventId = parseEventId(id);
  const refs: EventRef[] = [...(eventId === null ? [] : [{ eventId }]), { conversationId: id }];
  for (const ref of refs) {
    const row = await findEvent(store, ref, { withLog, deadlineMs });
    if (row) return await work(store, row); // before the store closes
  }
  process.stderr.write(`afterword: no event or conversation has the id ${id}\n`);
  return exitCodes.failed;
}

function tell(row: ShownEvent, operated: Awaited<ReturnType<typeof retryEvent>>, done: string, rule: string): number {
  if (operated.kind === 'done') {
    printLine(`${row.conversation_id} ${done}`);
    return exitCodes.ok;
  }
  const status = operated.kind === 'wrong-state' ? operated.status : 'gone';
  process.stderr.write(`afterword: ${rule}; ${row.conversation_id} is ${status}\n`);
  return exitCodes.failed;
}

function shown(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
