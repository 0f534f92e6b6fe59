import { setPriority } from 'node:os';
import type { Config } from '../config.ts';
import { firstEventIdAt, newEventId } from '../event/event.ts';
import { scoreOldEvents } from '../rescore/index.ts';
import type { Rescore } from '../rescore/ports.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { UsageError } from '../runtime/start-error.ts';
import { pause } from '../runtime/wait.ts';
import { backoffMs, createCalendar, rebuild } from '../settle/index.ts';
import { openAnalysers } from '../start/analysers.ts';
import { operatorName } from '../start/operator-name.ts';
import { preparedScore } from '../start/prepared-scoring.ts';
import { pronunciationSteps, startPronunciation } from '../start/pronunciation.ts';
import { startPool } from '../start/score-pool.ts';
import { openToolStore, quiet } from '../start/tool.ts';
import {
  applyRescore,
  createRescore,
  createUndo,
  findRescore,
  keepRescored,
  leaderLock,
  listRescores,
  noteAction,
  readOldEvents,
  type Store,
  setRescoreState,
  usersToApply,
} from '../store/index.ts';
import { counted, printJson, printLine, printTable } from '../terminal/print.ts';
import { printRescore } from './print-rescore.ts';

/** A user with a hundred thousand events takes some seconds. */
const deadlineMs = 120_000;
const usersAtOnce = 500;
/** Whatever else the machine has to do comes first. */
const niceness = 10;
/** Of the time, while results are replaced: the fleet needs the same rows. Measured in docs/performance.md. */
const workingShare = 0.2;
const builtIn = 'friendship';

export type RescoreOptions = {
  readonly scorer?: string;
  readonly run?: number;
  readonly since?: Date;
  readonly limit?: number;
  readonly apply: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
};

/**
 * Scores old events with another scorer, shows what would change, and changes it with `apply`.
 * @returns exit code: 1 if it was stopped before the end.
 */
export async function runRescore(config: Config, options: RescoreOptions): Promise<number> {
  if (options.apply && options.dryRun) throw new UsageError('--apply and --dry-run exclude each other');
  if ((options.scorer === undefined) === (options.run === undefined))
    throw new UsageError('name a scorer (--scorer MODULE, or `friendship`) for a new run, or --run to go on with one');
  if (options.run !== undefined && (options.since !== undefined || options.limit !== undefined))
    throw new UsageError(`--since and --limit are for a new run; run ${options.run} has its own`);
  return alone(config, async (store, stop) => {
    const known = options.run === undefined ? null : await existing(store, options.run);
    const id =
      known !== null && known.state !== 'scoring' ? known.id : await score(config, store, known, options, stop);
    if (id === null) return exitCodes.failed;
    if (options.apply && !(await apply(config, store, id, stop))) return stopped(id, true);
    await printRescore(store, await existing(store, id), options.json);
    return exitCodes.ok;
  });
}

/** Gives events back the results that a run replaced. */
export async function runUndo(config: Config, id: number, options: { readonly json: boolean }): Promise<number> {
  return alone(config, async (store, stop) => {
    const { state } = await existing(store, id);
    if (state === 'scoring' || state === 'scored')
      throw new UsageError(`run ${id} was not applied: there is nothing to take back`);
    const now = newEventId();
    const run = { scorer: `undoes ${id}`, actor: operatorName(), firstId: now, nextId: now, most: null };
    const undo = await createUndo(store, run, id, deadlineMs);
    if (undo.replacedSince > 0)
      say(`left as they are, as they were rescored again since: ${counted(undo.replacedSince, 'conversation')}`);
    if (!(await apply(config, store, undo.id, stop))) return stopped(undo.id, true);
    await printRescore(store, await existing(store, undo.id), options.json);
    return exitCodes.ok;
  });
}

export async function runRescores(
  config: Config,
  options: { readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const runs = await listRescores(store, options.limit, deadlineMs);
  if (options.json) printJson(runs.map(({ firstId: _first, nextId: _next, ...run }) => run));
  else if (runs.length === 0) printLine('nothing was rescored yet');
  else
    printTable(
      [
        ...[{ head: 'RUN' }, { head: 'SCORER', min: 16 }, { head: 'STATE' }],
        ...[{ head: 'LOOKED AT' }, { head: 'STARTED' }, { head: 'BY' }],
      ],
      runs.map((run) => [run.id, run.scorer, run.state, run.lookedAt, run.startedAt, run.actor]),
    );
  return exitCodes.ok;
}

/** Runs `work` if no other rescore is at work on this database: two would score the same events. */
async function alone(config: Config, work: (store: Store, stop: AbortSignal) => Promise<number>): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const stop = createStop(quiet);
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const done = await leaderLock(store, 'rescore')((held) => work(store, held), {
    stop: stop.signal,
    waitSeconds: 0,
  });
  if (done !== null) return done.value;
  throw new UsageError('another rescore is at work on this database: `afterword rescore list` shows it');
}

async function begin(store: Store, scorer: string, { since, limit, apply }: RescoreOptions): Promise<number> {
  const actor = operatorName();
  const id = await createRescore(
    store,
    {
      ...{ scorer, actor, most: limit ?? null },
      firstId: firstEventIdAt(since ?? new Date(0)),
      // What is accepted from now on is scored by the workers.
      nextId: newEventId(),
    },
    deadlineMs,
  );
  await noteAction(store, { actor, kind: 'rescore', target: `run ${id}`, value: `scores with ${scorer}` }, deadlineMs);
  say(`this is run ${id}; if it is interrupted: \`afterword rescore --run ${id}${apply ? ' --apply' : ''}\``);
  return id;
}

async function existing(store: Store, id: number): Promise<Rescore> {
  const run = await findRescore(store, id, deadlineMs);
  if (run === null) throw new UsageError(`there is no run ${id}: \`afterword rescore list\` shows those there are`);
  return run;
}

/**
 * Scores what is left of a run, or begins one once its scorer is loaded.
 * @returns its number; null if it was stopped.
 */
async function score(
  config: Config,
  store: Store,
  known: Rescore | null,
  options: RescoreOptions,
  stop: AbortSignal,
): Promise<number | null> {
  const scorer = known?.scorer ?? options.scorer ?? builtIn;
  // Threads take over the priority of the process.
  setPriority(niceness);
  await using stack = new AsyncDisposableStack();
  const scorerModule = scorer === builtIn ? null : scorer;
  const pool = stack.adopt(await startPool({ ...config, scorerModule }, config.scoringThreads, stop, quiet), (p) =>
    p.close(),
  );
  // What is being scored when it is stopped is not worth waiting for.
  stop.addEventListener('abort', () => void pool.close(), { once: true });
  const pronunciation = stack.adopt(startPronunciation(config, quiet), (p) => p.close());
  const analysers = stack.adopt(await openAnalysers(config, quiet), (a) => a?.close());
  const preparations = [...pronunciationSteps(config, pronunciation), ...(analysers === null ? [] : [analysers])];
  const run = known ?? (await existing(store, await begin(store, scorer, options)));
  const progress = progressLine('scored');
  const isDone = await scoreOldEvents(run, {
    readPage: (from) => readOldEvents(store, from, deadlineMs),
    score: preparedScore(preparations, (text) => pool.score(text), { giveUp: stop }),
    keep: (page) => keepRescored(store, run.id, page, deadlineMs),
    concurrency: config.concurrency,
    maxAttempts: config.maxAttempts,
    delayMs: (attempt) => backoffMs(attempt, { baseMs: config.retryBaseMs, capMs: config.retryCapMs }),
    stop,
    onProgress: (events) => progress.show(counted(events, 'conversation')),
  });
  progress.end();
  if (isDone) return run.id;
  stopped(run.id, options.apply);
  return null;
}

/** @returns false if it was stopped: users are done one by one, and the rest wait. */
async function apply(config: Config, store: Store, id: number, stop: AbortSignal): Promise<boolean> {
  const calendarDay = createCalendar(config.scoringTimezone);
  const progress = progressLine('applied');
  await setRescoreState(store, id, 'applying', deadlineMs);
  let [users, after] = [0, ''];
  for (;;) {
    const page = await usersToApply(store, id, { after, size: usersAtOnce }, deadlineMs);
    for (const userId of page) {
      if (stop.aborted) {
        progress.end();
        return false;
      }
      const began = performance.now();
      await applyRescore(store, id, userId, (record) => rebuild(record, calendarDay), deadlineMs);
      progress.show(counted(++users, 'user'));
      await pause((performance.now() - began) * (1 / workingShare - 1), stop);
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last;
  }
  progress.end();
  await setRescoreState(store, id, 'applied', deadlineMs);
  const value = `applied to ${counted(users, 'user')}`;
  await noteAction(store, { actor: operatorName(), kind: 'rescore', target: `run ${id}`, value }, deadlineMs);
  return true;
}

function stopped(id: number, applies: boolean): number {
  say(`stopped; to continue: \`afterword rescore --run ${id}${applies ? ' --apply' : ''}\``);
  return exitCodes.failed;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One line that is written over, if somebody is looking. */
function progressLine(what: string) {
  const isSeen = process.stderr.isTTY;
  let shownAt = 0;
  return {
    show(text: string) {
      if (!isSeen || performance.now() - shownAt < 200) return;
      shownAt = performance.now();
      process.stderr.write(`\r\x1b[K${what}: ${text}`);
    },
    end() {
      if (isSeen) process.stderr.write('\r\x1b[K');
    },
  };
}
