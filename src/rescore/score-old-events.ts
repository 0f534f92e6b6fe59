import { isDeepStrictEqual } from 'node:util';
import type { ConversationText } from '../event/conversation.ts';
import type { EventId } from '../event/event.ts';
import { unitsPerPoint } from '../event/friendship.ts';
import type { Outcome } from '../event/outcome.ts';
import { pause } from '../runtime/wait.ts';
import type { Judgement, OldEvent, Rescore, ScoredPage } from './ports.ts';

/** Texts of a page are in memory together, those of the next one too. */
const pageSize = 200;

type Options = {
  /** PROCESSED events below `nextId` and from `firstId` upward, the newest first. */
  readonly readPage: (from: { nextId: EventId; firstId: EventId; size: number }) => Promise<OldEvent[]>;
  readonly score: (text: ConversationText) => Promise<Outcome>;
  /** Stores what was found, with the progress of the run. */
  readonly keep: (page: ScoredPage) => Promise<void>;
  /** Conversations that are scored at the same time. */
  readonly concurrency: number;
  readonly maxAttempts: number;
  readonly delayMs: (attempt: number) => number;
  readonly stop: AbortSignal;
  readonly onProgress: (lookedAt: number) => void;
};

/**
 * Scores the events of a run page by page, from where it stands. Ends early when `stop` fires: what was kept stays, and
 * the same call goes on from there.
 * @returns whether all are scored.
 */
export async function scoreOldEvents(run: Rescore, options: Options): Promise<boolean> {
  const { firstId, most } = run;
  const sizeAt = (lookedAt: number) => (most === null ? pageSize : Math.min(pageSize, most - lookedAt));
  const read = async (nextId: EventId, size: number) => (size === 0 ? [] : options.readPage({ nextId, firstId, size }));

  let [nextId, lookedAt] = [run.nextId, run.lookedAt];
  let page = await read(nextId, sizeAt(lookedAt));
  while (!options.stop.aborted) {
    const size = sizeAt(lookedAt);
    nextId = page.at(-1)?.eventId ?? nextId;
    lookedAt += page.length;
    const isLast = page.length < size || size === 0;
    const [next, scored] = await Promise.all([isLast ? [] : read(nextId, sizeAt(lookedAt)), scorePage(page, options)]);
    // What was aborted says nothing of the scorer.
    if (options.stop.aborted) return false;
    await options.keep({ ...scored, lookedAt: page.length, nextId, isLast });
    options.onProgress(lookedAt);
    if (isLast) return true;
    page = next;
  }
  return false;
}

async function scorePage(
  page: readonly OldEvent[],
  options: Options,
): Promise<Pick<ScoredPage, 'judgements' | 'unchanged' | 'withoutText'>> {
  const judgements: Judgement[] = [];
  let [unchanged, withoutText] = [0, 0];
  const left = page.values();
  const one = async () => {
    for (const event of left) {
      if (options.stop.aborted) return;
      if (event.text === null) {
        withoutText++;
        continue;
      }
      const outcome = await untilScored(event.text, options);
      if (outcome.kind === 'scored' && isSame(event, outcome)) unchanged++;
      else judgements.push(judgementOf(event, outcome));
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.concurrency, page.length) }, one));
  return { judgements, unchanged, withoutText };
}

/** As often as a worker would try. */
async function untilScored(text: ConversationText, { score, maxAttempts, delayMs, stop }: Options): Promise<Outcome> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await score(text).catch((error: unknown) => {
      if (stop.aborted) return stopped;
      throw error;
    });
    if (outcome.kind === 'scored' || outcome.permanent || attempt >= maxAttempts || stop.aborted) return outcome;
    await pause(delayMs(attempt), stop);
  }
}

const stopped: Outcome = { kind: 'failed', permanent: false, code: 'STOPPED', details: 'the run was stopped' };

function judgementOf({ eventId, userId, change }: OldEvent, outcome: Outcome): Judgement {
  const result =
    outcome.kind === 'scored'
      ? { kind: outcome.kind, change: outcome.change, detailsJson: outcome.detailsJson }
      : { kind: outcome.kind, code: outcome.code };
  return { eventId, userId, changeBefore: change, result };
}

/** The database may have put the fields in another order. */
function isSame(event: OldEvent, { change, detailsJson }: Extract<Outcome, { kind: 'scored' }>): boolean {
  const units = (points: number) => Math.round(points * unitsPerPoint);
  return units(event.change) === units(change) && isDeepStrictEqual(event.details, JSON.parse(detailsJson));
}
