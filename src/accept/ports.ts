import type { EventId, NewEvent } from '../event/event.ts';

/** What became of one event of a batch. The event id is always the stored one, even for a replay. */
export type Stored = { readonly kind: 'new' | 'replay' | 'conflict'; readonly eventId: EventId };

/** Stores a batch of events and answers for each; a rejection is the answer to all of them. */
export type StoreEvents = (events: readonly NewEvent[]) => Promise<readonly PromiseSettledResult<Stored>[]>;
