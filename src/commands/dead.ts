import type { Config } from '../config.ts';
import type { EventId } from '../event/event.ts';
import { type Replayed, replay } from '../operate/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { openLetters, type SeenLetter, walkLetters } from '../start/letters.ts';
import { statementDeadlineMs as deadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { makeDue, noteAction, retryEvent } from '../store/index.ts';
import { counted, plain, printFields, printJson, printLine, printTable } from '../terminal/print.ts';

/** The most letters that one command looks at. */
const maxWalk = 1_000_000;
/** Failed replays after which the command stops. */
const maxFailures = 20;

export async function runDeadList(
  config: Config,
  options: { readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using tools = await openLetters(config);
  // An event that was retried and failed again has a letter for each failure; it is shown once, with the latest.
  const seen = new Map<string, { readonly shown: ReturnType<typeof view>; readonly letters: number }>();
  const count = await tools.letters.count();
  let walked = 0;
  await walkLetters(tools, options.limit, async (one) => {
    walked++;
    const before = seen.get(one.id);
    seen.delete(one.id);
    seen.set(one.id, { shown: view(one), letters: (before?.letters ?? 0) + 1 });
    return 'leave';
  });
  if (options.json)
    printJson({ count, letters: [...seen.values()].map(({ shown, letters }) => ({ ...shown, letters })) });
  else if (seen.size === 0) printLine('no dead letters');
  else {
    printTable(
      columns,
      [...seen.values()].map(({ shown: l, letters }) => [
        l.id,
        l.conversation_id,
        l.died_at === null ? null : new Date(l.died_at),
        l.reason,
        letters,
        l.status ?? 'not found',
        l.error_code,
        l.error_details,
      ]),
    );
  }
  if (count > walked) process.stderr.write(`… and ${count - walked} more (--limit)\n`);
  return exitCodes.ok;
}

const columns = [
  { head: 'ID', min: 13, rank: 3 },
  { head: 'CONVERSATION', min: 16 },
  { head: 'DIED', rank: 4 },
  { head: 'REASON', rank: 1 },
  { head: 'LETTERS', rank: 2 },
  { head: 'EVENT IS' },
  { head: 'ERROR', min: 8, rank: 6 },
  { head: 'DETAILS', min: 16, rank: 5 },
] as const;

export async function runDeadShow(
  config: Config,
  id: string,
  options: { readonly body: boolean; readonly json: boolean },
): Promise<number> {
  await using tools = await openLetters(config);
  let found: SeenLetter | null = null;
  await walkLetters(tools, maxWalk, async (one) => {
    // Keeps the latest, as in the list: an event that failed repeatedly has several letters.
    if (isNamed(one, id)) found = one;
    return 'leave';
  });
  if (found === null) return notThere(id);
  const shown = { ...view(found), ...(options.body && { body: (found as SeenLetter).letter.body.toString() }) };
  if (options.json) printJson(shown);
  else printFields(shown);
  return exitCodes.ok;
}

/** Which letters are replayed: one event's, those whose event failed with a code, or all. */
type ReplaySelection = { readonly id: string } | { readonly error: string } | 'all';

/** A letter leaves the queue only when its replay is committed or confirmed. */
export async function runDeadReplay(
  config: Config,
  selection: ReplaySelection,
  options: { readonly json: boolean },
): Promise<number> {
  await using tools = await openLetters(config);
  const { store, letters } = tools;
  const came: Record<Replayed, number> = { reopened: 0, 'made due': 0, published: 0, closed: 0 };
  let matched = 0;
  let failed = 0;
  const replayOne = ({ letter, event }: SeenLetter) =>
    replay(
      event && { eventId: event.event_id as EventId, conversationId: event.conversation_id, status: event.status },
      {
        reopen: async (conversationId) =>
          (await retryEvent(store, conversationId, { actor: operatorName(), deadlineMs })).kind === 'done',
        makeDue: (eventId) => makeDue(store, eventId, deadlineMs),
        publish: () => letters.publish(letter),
      },
    );
  const walked = walkLetters(tools, maxWalk, async (one) => {
    if (!isSelected(one, selection)) return 'leave';
    matched++;
    try {
      came[await replayOne(one)]++;
      return 'settled';
    } catch (error) {
      failed++;
      process.stderr.write(`afterword: ${plain(one.id)} was not replayed (it stays): ${(error as Error).message}\n`);
      // One refused letter need not stop the others, but a server that is down would refuse them all.
      return failed < maxFailures ? 'leave' : 'stop';
    }
  });
  // However it ends, report what was done.
  const broken = await walked.then(
    () => null,
    (error: unknown) => ({ error }),
  );
  if (broken === null && matched === 0 && typeof selection === 'object' && 'id' in selection)
    return notThere(selection.id);
  const replayed = Object.values(came).reduce((sum, n) => sum + n, 0);
  if (options.json)
    printJson({
      replayed,
      failed,
      reopened: came.reopened,
      made_due: came['made due'],
      published: came.published,
      closed: came.closed,
    });
  else {
    printLine(`${counted(replayed, 'dead letter')} replayed${failed > 0 ? `, ${failed} not (they stay)` : ''}`);
    for (const [what, n] of Object.entries(came)) if (n > 0) printLine(`  ${n} ${meaning[what as Replayed]}`);
  }
  if (broken) throw broken.error;
  return failed === 0 ? exitCodes.ok : exitCodes.failed;
}

const meaning: Record<Replayed, string> = {
  reopened: 'failed events start over with a fresh count of attempts',
  'made due': 'were open already and are due now',
  published: 'have no event in this database: the message went back to the queue unchanged',
  closed: 'needed nothing: the event is closed, or another process reopened it',
};

export async function runDeadPurge(
  config: Config,
  options: { readonly yes: boolean; readonly json: boolean },
): Promise<number> {
  await using tools = await openLetters(config);
  const count = await tools.letters.count();
  if (!options.yes) {
    process.stderr.write(
      `afterword: this would delete ${count} dead letters. FAILED events stay in the database and can be retried;\n` +
        'letters of events that this database does not have are lost. To confirm, add --yes\n',
    );
    return exitCodes.usage;
  }
  const dropped = count === 0 ? 0 : await tools.letters.purge();
  const action = { actor: operatorName(), kind: 'purge', target: 'dead letters', value: String(dropped) } as const;
  await noteAction(tools.store, action, deadlineMs);
  if (options.json) printJson({ dropped });
  else
    printLine(
      `${counted(dropped, 'dead letter')} dropped; FAILED events stay and can be retried with ` +
        `\`afterword events retry\``,
    );
  return exitCodes.ok;
}

function isNamed({ id, event }: SeenLetter, wanted: string): boolean {
  return id === wanted || event?.conversation_id === wanted;
}

function isSelected(one: SeenLetter, selection: ReplaySelection): boolean {
  if (selection === 'all') return true;
  if ('id' in selection) return isNamed(one, selection.id);
  return one.event?.status === 'FAILED' && one.event.error_code === selection.error;
}

function notThere(id: string): number {
  process.stderr.write(`afterword: no dead letter has the id ${id} (\`afterword dead list\` shows them)\n`);
  return exitCodes.failed;
}

/** The fields of a letter that are shown; never the text of the conversation. */
function view({ id, letter, event }: SeenLetter) {
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
