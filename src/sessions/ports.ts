/** The last messages of a session, as they are kept in Redis and shown. */
export const historyLength = 10;
/** More messages than a session may hold: a limit for reading all of one. */
export const wholeSession = 10_000;

/** Who talks with which bot. Fixed when the session begins. */
export type SessionHead = {
  readonly sessionId: string;
  readonly userId: string;
  readonly botType: string;
  readonly botId: string;
  readonly botName: string;
  readonly topicId: string | null;
  readonly startedAt: Date;
};

/** `ending`: nothing more is taken, and its event is about to be accepted. */
export type SessionState = 'open' | 'ending' | 'ended';

export type Session = SessionHead & {
  readonly state: SessionState;
  readonly activeAt: Date;
  readonly messages: number;
  /** User messages: what callers know as `question_count`. */
  readonly questions: number;
  /** Of the last message; 0 before the first. */
  readonly lastPosition: number;
  /** Bytes of text, UTF-8. */
  readonly bytes: number;
};

export type Role = 'user' | 'bot';

/** A message as a caller sends it. Its id makes it idempotent within its session. */
export type NewMessage = {
  readonly messageId: string;
  /** The caller chose the id, and so may send it again. */
  readonly isNamed: boolean;
  readonly role: Role;
  readonly text: string;
  readonly sentAt: Date;
};

/** A message of a session. Positions rise from 1 in the order in which messages were taken. */
export type Message = Omit<NewMessage, 'isNamed'> & { readonly position: number };

export type Taken = {
  readonly position: number;
  /** User messages up to this one. */
  readonly questions: number;
  readonly isReplay: boolean;
};

/** What is asked of the event when a session ends; the rest comes from the session. */
export type EndRequest = {
  readonly conversationId: string;
  /** ISO 8601; null: the time of the last message. */
  readonly endTime: string | null;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** Whoever ends it says whose session it is; null: nothing is said. */
  readonly userId: string | null;
};

/** The most that one session holds. */
export type SessionLimits = { readonly messages: number; readonly bytes: number };
/** 0: no limit per minute. `pendingBytes`: text that Redis may hold for the database, in all sessions. */
export type Limits = SessionLimits & {
  readonly perMinute: number;
  readonly perMinuteOfUser: number;
  readonly pendingBytes: number;
};

/**
 * Why messages were not taken. `missing`: there is no such session there. `ask`: some ids may have been taken so long
 * ago that only the database knows. `too-much-pending`: for the
 * database, in all sessions.
 */
export type Refusal =
  | 'missing'
  | 'ended'
  | 'full'
  | 'ask'
  | 'too-much-pending'
  | { readonly whose: 'session' | 'user'; readonly limitedForMs: number };

/** The sessions in Redis. Every call rejects with a transient PipelineError if Redis does not do it. */
export type LiveSessions = {
  /** @returns the session that was there before; null: created. */
  create(head: SessionHead, isStored: boolean): Promise<Session | null>;
  /** Brings a session from the database, unless it is there. */
  load(session: Session, history: readonly Message[]): Promise<void>;
  /** @param options.isAsked  the database knows none of these ids. */
  append(
    sessionId: string,
    messages: readonly NewMessage[],
    options: { readonly limits: Limits; readonly isAsked: boolean },
  ): Promise<Refusal | { readonly taken: readonly Taken[]; readonly pending: number }>;
  /** They are in the database now. */
  releaseBytes(bytes: number): Promise<void>;
  view(sessionId: string): Promise<LiveView | null>;
  /** Messages that are not in the database, after a position. */
  pendingAfter(sessionId: string, position: number, limit: number): Promise<readonly Message[]>;
  /** Those of `messageIds` that Redis does not know, and those that are pending. */
  fates(
    sessionId: string,
    messageIds: readonly string[],
  ): Promise<{ readonly lost: readonly string[]; readonly pending: readonly string[] }>;
  /**
   * Closes a session for messages. @returns the end that it has now (the first wins); null: missing; `active`: it has
   * not been idle for `idleMs`.
   */
  close(sessionId: string, end: EndRequest, idleMs: number): Promise<EndRequest | 'active' | null>;
  setState(sessionId: string, state: 'open' | 'ended'): Promise<void>;
  /** Removes a session; the next use brings it from the database. @returns false: it has something pending. */
  forget(sessionId: string, movedIds: readonly string[]): Promise<boolean>;
  /** The database has seen this token. */
  raiseFence(token: number): Promise<void>;

  /** Leases sessions that have something to sync. */
  claim(options: { readonly dirtyForMs: number; readonly limit: number; readonly leaseMs: number }): Promise<{
    readonly token: number;
    readonly claims: readonly Claim[];
  }>;
  readPending(sessionId: string, limit: number): Promise<Pending | null>;
  /** To be called after the commit. @returns how many messages are still pending. */
  synced(
    sessionId: string,
    messageIds: readonly string[],
  ): Promise<{ readonly left: number; readonly freedBytes: number }>;
  /** Ends a lease. `dirtySince`: it has to be synced again. */
  release(
    sessionId: string,
    lease: { readonly token: number; readonly freedBytes: number; readonly dirtySince: Date | null },
  ): Promise<void>;
  backlog(): Promise<Backlog>;
  /** @returns whether this process may sweep now. */
  leaseSweep(ms: number): Promise<boolean>;
};

export type LiveView = Session & { readonly history: readonly Message[]; readonly pending: number };
export type Claim = { readonly sessionId: string; readonly dirtySince: Date };
export type Pending = {
  readonly session: Session;
  readonly end: EndRequest | null;
  readonly messages: readonly Message[];
  /** Redis has lost the text of these: it evicts keys that never expire. */
  readonly lostIds: readonly string[];
};
type Backlog = {
  readonly sessions: number;
  readonly bytes: number;
  /** Null: nothing is pending. */
  readonly oldest: Date | null;
};

type Detached = { readonly sessionId: string; readonly detachedAt: Date };

/** What one session has to write. */
export type SessionWrite = {
  readonly session: SessionHead & { readonly activeAt: Date };
  readonly messages: readonly Message[];
  readonly end: EndRequest | null;
};

/**
 * `moved`: these have other positions now. `state`: as it was before. `fenced`: a later lease has written since, with
 * `token`. `foreign`: the session is of another user.
 */
export type Written = { readonly sessionId: string; readonly stored: number } & (
  | { readonly kind: 'written'; readonly moved: readonly string[]; readonly state: SessionState }
  | { readonly kind: 'fenced'; readonly token: number }
  | { readonly kind: 'foreign' }
);

/** A session in the database, with what its end asks for and has led to. */
export type StoredSession = Session & {
  readonly end: EndRequest | null;
  /** `end` as it is stored. */
  readonly endText: string | null;
  readonly eventId: string | null;
};
type Ending = Pick<StoredSession, 'sessionId' | 'endText'>;

/** The sessions in the database. */
export type StoredSessions = {
  /** @returns the session that was there before; null: created. */
  create(head: SessionHead): Promise<StoredSession | null>;
  find(sessionId: string): Promise<StoredSession | null>;
  /** Takes messages without Redis; `unsynced` are stored with them. The session is then to be reconciled. */
  take(
    sessionId: string,
    messages: readonly NewMessage[],
    options: { readonly unsynced: readonly Message[]; readonly limits: SessionLimits },
  ): Promise<'missing' | 'ended' | 'full' | readonly Taken[]>;
  /** What is known of messages with these ids. */
  findTaken(sessionId: string, messageIds: readonly string[]): Promise<ReadonlyMap<string, Taken>>;
  write(writes: readonly SessionWrite[], token: number): Promise<readonly Written[]>;
  lastMessages(sessionId: string, limit: number): Promise<readonly Message[]>;
  messagesAfter(sessionId: string, position: number, limit: number): Promise<readonly Message[]>;
  findMessage(sessionId: string, messageId: string): Promise<Message | null>;
  /** @returns false: it is not being ended like this any more. */
  markEnded(session: Ending, eventId: string): Promise<boolean>;
  /** @returns false: it is not being ended like this any more. */
  reopen(session: Ending): Promise<boolean>;
  /** When the user of this session was erased; null: not lately. */
  erasedAt(sessionId: string): Promise<Date | null>;
  /** It is in use, though the database has not heard of it. */
  touch(sessionId: string): Promise<void>;
  /** Whether any session is open or ending. */
  hasOpen(): Promise<boolean>;
  idleFor(ms: number, limit: number): Promise<readonly string[]>;
  endingFor(ms: number, limit: number): Promise<readonly string[]>;
  /** Sessions that took messages while Redis was away. */
  detached(limit: number): Promise<readonly Detached[]>;
  /** Unless they have taken messages since. */
  attach(sessions: readonly Detached[]): Promise<void>;
};

/** As `POST /v1/conversations/end` does it. `refused`: for good. Rejects with a transient PipelineError. */
export type AcceptConversation = (
  body: Readonly<Record<string, unknown>>,
) => Promise<
  | { readonly kind: 'accepted'; readonly eventId: string; readonly replayed: boolean }
  | { readonly kind: 'refused'; readonly why: Error }
>;
/** The event of a conversation, if there is one. */
export type FindEvent = (conversationId: string) => Promise<{
  readonly eventId: string;
  readonly userId: string;
  readonly turns: readonly { readonly text: string; readonly timestamp: string }[];
} | null>;
/** Checks the body of an accept, and does nothing. @throws {Problem} */
export type CheckConversation = (body: Readonly<Record<string, unknown>>) => void;
