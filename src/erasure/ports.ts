import type { EventId } from '../event/event.ts';

/** Rows that still name a user, by table. */
export type Found = Readonly<Record<string, number>>;

/** The tables, a page per call. Rejects with a transient PipelineError if the database does not do it. */
export type EraseUser = {
  sessionIds(userId: string): Promise<readonly string[]>;
  /** So that no API writes again what it still has of them. */
  rememberSessions(ids: readonly string[]): Promise<void>;
  /** @returns how many sessions went; 0: none is left. */
  sessions(userId: string): Promise<number>;
  /** @returns the events that went; none: none is left. */
  events(userId: string): Promise<readonly EventId[]>;
  /** @returns false: there are events again, which have to go first. */
  friendship(userId: string): Promise<boolean>;
  search(userId: string): Promise<Found>;
};

/** Live sessions in Redis. @returns the ids of those that went. @throws {PipelineError} transient */
export type EraseLive = (userId: string, known: readonly string[]) => Promise<readonly string[]>;

/** Dead letters of a user, or of these events. @returns how many went. @throws {PipelineError} transient */
export type EraseLetters = (userId: string, events: ReadonlySet<EventId>) => Promise<number>;

export type Erased = {
  readonly conversations: number;
  readonly sessions: number;
  readonly deadLetters: number;
};
