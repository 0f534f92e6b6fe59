import { hash } from 'node:crypto';
import type { DeadLetter, DeadLetters } from '../broker/index.ts';
import type { Config } from '../config.ts';
import type { EventId } from '../event/event.ts';
import { letterRef, type Replayed, replay } from '../operate/index.ts';
import { type EventRow, findEvent, makeDue, retryEvent, type Store } from '../store/index.ts';
import { exitCodes } from './exit-codes.ts';
import { statementDeadlineMs as deadlineMs } from './parts.ts';
import { printJson, printLine, printTable } from './print.ts';
import { openToolLetters, openToolStore } from './tools.ts';

/** A letter beside the row of its event. */
type Seen = {
  /** The event's id; for a letter that is not ours, a hash of its body. */
  readonly id: string;
  readonly letter: DeadLetter;
  readonly event: EventRow | null;
};

/** Letters that one command looks at. */
const maxWalk = 1_000_000;

export async function runDeadList(config: Config, options: { readonly limit: number; readonly json: boolean }): Promise<number> {
  await using tools = await open(config);
  const seen: ReturnType<typeof view>[] = [];
  const count = await tools.letters.count();
  await walk(tools, options.limit, async (one) => {
    seen.push(view(one));
    return 'leave';
  });
  if (options.json) printJson({ count, letters: seen });
  else if (seen.length === 0) printLine('no dead letters');
  else {
    printTable(
      ['ID', 'CONVERSATION', 'DIED', 'REASON', 'EVENT IS', 'ERROR', 'DETAILS'],
      seen.map((l) => [l.id, l.conversation_id, l.died_at, l.reason, l.status ?? 'not there', l.error_code, l.error_details]),
    );
    if (count > seen.length) printLine(`… and ${count - seen.length} more (--limit)`);
  }
  return exitCodes.ok;
}

export async function runDeadShow(
  config: Config,
  id: string,
  options: { readonly body: boolean; readonly json: boolean },
): Promise<number> {
  await using tools = await open(config);
  let found: Seen | null = null;
  await walk(tools, maxWalk, async (one) => {
    if (!isNamed(one, id)) return 'leave';
    found = one;
    return 'stop';
  });
  if (found === null) return notThere(id);
  const shown = { ...view(found), ...(options.body && { body: (found as Seen).letter.body.toString() }) };
  if (options.json) printJson(shown);
  else printTable(['FIELD', 'VALUE'], Object.entries(shown));
  return exitCodes.ok;
}

/** Which letters are replayed: one event's, those whose event failed with a code, or all. */
export type ReplaySelection = { readonly id: string } | { readonly error: string } | 'all';

/** A letter leaves the queue when its replay is committed or confirmed, and not before. */
export async function runDeadReplay(config: Config, selection: ReplaySelection, options: { readonly json: boolean }): Promise<number> {
  await using tools = await open(config);
  const { store, letters } = tools;
  const came: Record<Replayed, number> = { reopened: 0, 'made due': 0, published: 0, closed: 0 };
  let matched = 0;
  await walk(tools, maxWalk, async ({ letter, event, ...one }) => {
    if (!isSelected({ letter, event, ...one }, selection)) return 'leave';
    matched++;
    const replayed = await replay(
      event && { eventId: event.event_id as EventId, conversationId: event.conversation_id, status: event.status },
      {
        reopen: async (conversationId) => (await retryEvent(store, conversationId, deadlineMs)).kind === 'done',
        makeDue: (eventId) => makeDue(store, eventId, deadlineMs),
        publish: () => letters.publish(letter),
      },
    );
    came[replayed]++;
    return 'settled';
  });
  if (matched === 0 && typeof selection === 'object' && 'id' in selection) return notThere(selection.id);
  if (options.json) printJson({ replayed: matched, ...came });
  else {
    printLine(`${matched} dead letters replayed`);
    for (const [what, n] of Object.entries(came)) if (n > 0) printLine(`  ${n} ${meaning[what as Replayed]}`);
  }
  return exitCodes.ok;
}

const meaning: Record<Replayed, string> = {
  reopened: 'failed events start over with a fresh count of attempts',
  'made due': 'were open already and are due now',
  published: 'have no event here: the message went back to the queue as it was',
  closed: 'needed nothing: the event is closed by now',
};

export async function runDeadPurge(config: Config, options: { readonly yes: boolean }): Promise<number> {
  await using tools = await open(config);
  const count = await tools.letters.count();
  if (!options.yes) {
    process.stderr.write(
      `afterword: this would drop ${count} dead letters for good (their events stay FAILED in the database). If you mean it, add --yes\n`,
    );
    return exitCodes.usage;
  }
  printLine(
    `${await tools.letters.purge()} dead letters dropped; their events stay FAILED and can be retried with \`afterword events retry\``,
  );
  return exitCodes.ok;
}

type Tools = { readonly store: Store; readonly letters: DeadLetters } & AsyncDisposable;

async function open(config: Config): Promise<Tools> {
  const store = await openToolStore(config);
  try {
    const letters = await openToolLetters(config);
    return {
      store,
      letters,
      async [Symbol.asyncDispose]() {
        await letters.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function walk({ store, letters }: Tools, limit: number, visit: (one: Seen) => Promise<'settled' | 'leave' | 'stop'>): Promise<void> {
  return letters.walk(limit, async (letter) => {
    const ref = letterRef(letter);
    const event = ref && (await findEvent(store, ref, { withLog: false, deadlineMs }));
    const named = event?.event_id ?? (ref === null ? undefined : 'eventId' in ref ? ref.eventId : ref.conversationId);
    return visit({ id: named ?? `body-${hash('sha256', letter.body).slice(0, 12)}`, letter, event });
  });
}

function isNamed({ id, event }: Seen, wanted: string): boolean {
  return id === wanted || event?.conversation_id === wanted;
}

function isSelected(one: Seen, selection: ReplaySelection): boolean {
  if (selection === 'all') return true;
  if ('id' in selection) return isNamed(one, selection.id);
  return one.event?.status === 'FAILED' && one.event.error_code === selection.error;
}

function notThere(id: string): number {
  process.stderr.write(`afterword: no dead letter has the id ${id} (\`afterword dead list\` shows them)\n`);
  return exitCodes.failed;
}

/** What is shown of a letter: no text of the conversation. */
function view({ id, letter, event }: Seen) {
  return {
    id,
    conversation_id: event?.conversation_id ?? null,
    user_id: event?.user_id ?? null,
    died_at: letter.diedAt?.toISOString() ?? null,
    reason: letter.reason,
    bytes: letter.body.length,
    status: event?.status ?? null,
    attempts: event?.attempt_count ?? null,
    error_code: event?.error_code ?? null,
    error_details: event?.error_details ?? null,
  };
}
