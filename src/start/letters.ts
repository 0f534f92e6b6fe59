import { hash } from 'node:crypto';
import type { DeadLetter, DeadLetters } from '../broker/index.ts';
import type { Config } from '../config.ts';
import type { EventRef } from '../event/event.ts';
import { refsOf } from '../event/message.ts';
import type { EventView } from '../report/index.ts';
import { findEvent, type Store } from '../store/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';
import { brokerAway, openToolLetters, openToolStore } from './tool.ts';

/** A dead letter together with the row of its event. */
export type SeenLetter = {
  /** The event's id; for a letter that is not ours, a hash of its body. */
  readonly id: string;
  readonly letter: DeadLetter;
  readonly event: EventView | null;
};

type Letters = {
  readonly config: Config;
  readonly store: Store;
  readonly letters: DeadLetters;
} & AsyncDisposable;

/** @throws {StartError} that names the server that cannot be used. */
export async function openLetters(config: Config): Promise<Letters> {
  const store = await openToolStore(config);
  try {
    const letters = await openToolLetters(config);
    return {
      config,
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

/** Shows the letters that are there now, oldest first, each with its event. See `DeadLetters.walk`. */
export async function walkLetters(
  { config, store, letters }: Letters,
  limit: number,
  visit: (one: SeenLetter) => Promise<'settled' | 'leave' | 'stop'>,
): Promise<void> {
  const walked = letters.walk(limit, async (letter) => {
    const event = await findLetterEvent(store, letter);
    const [named] = refsOf(letter);
    return visit({
      id: event?.event_id ?? nameOf(named) ?? `body-${hash('sha256', letter.body).slice(0, 12)}`,
      letter,
      event,
    });
  });
  await walked.catch((error: unknown) => {
    throw brokerAway(config, error);
  });
}

/** Looks it up as a worker does: by the message id, else by the ids in the body. */
async function findLetterEvent(store: Store, letter: DeadLetter): Promise<EventView | null> {
  for (const ref of refsOf(letter)) {
    const event = await findEvent(store, ref, deadlineMs);
    if (event !== null) return event;
  }
  return null;
}

function nameOf(ref: EventRef | undefined): string | undefined {
  if (ref === undefined) return undefined;
  return 'eventId' in ref ? ref.eventId : ref.conversationId;
}
