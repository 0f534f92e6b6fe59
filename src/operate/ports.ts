import type { EventId, EventStatus } from '../event/event.ts';

/** What an operator's action on one event came to. */
export type Operated =
  | { readonly kind: 'done'; readonly eventId: EventId }
  | { readonly kind: 'wrong-state'; readonly status: EventStatus }
  | { readonly kind: 'not-found' }
  /** Its text was removed (`TEXT_RETENTION_DAYS`): there is nothing to score. */
  | { readonly kind: 'no-text' };

/** `actor`: who is recorded to have done it. */
export type RetryEvent = (conversationId: string, actor: string) => Promise<Operated>;
export type SkipEvent = (conversationId: string, reason: string, actor: string) => Promise<Operated>;
export type RetryFailed = (
  filter: { readonly errorCode?: string; readonly before?: Date },
  limit: number,
  actor: string,
) => Promise<number>;

type ActionKind =
  | 'pause'
  | 'resume'
  | 'concurrency'
  | 'drain'
  | 'profile'
  | 'retry'
  | 'retry-failed'
  | 'skip'
  | 'republish'
  | 'run-now'
  | 'erase'
  | 'rebuild'
  | 'rescore'
  | 'job'
  | 'purge'
  | 'key-create'
  | 'key-rotate'
  | 'key-revoke'
  | 'webhook-create'
  | 'webhook-change'
  | 'webhook-delete'
  | 'webhook-rotate'
  | 'webhook-replay';

/** What an operator did, when, and to what: workers (`all`, or `name@host`), a conversation, the name of a key. */
export type Action = {
  readonly actedAt: Date;
  readonly actor: string;
  readonly kind: ActionKind;
  readonly target: string;
  readonly value: string | null;
};

/** What an operator should know about the database server. */
export type DatabaseFacts = {
  readonly version: string;
  readonly isMariaDb: boolean;
  /** `innodb_flush_log_at_trx_commit`: 1 is durable. */
  readonly flushAtCommit: number;
  readonly binaryLog: boolean;
  /** `sync_binlog`: 1 is durable, and only matters with a binary log. */
  readonly syncBinlog: number;
  readonly maxConnections: number;
  readonly connections: number;
  /** Bytes. */
  readonly maxAllowedPacket: number;
  /** Why the server refuses the writes of accepting and settling; null if it takes them. */
  readonly writesRefused: string | null;
  readonly charset: string;
  /**
   * Seconds after which the server ends an idle session of ours; if it has a separate limit for sessions in a
   * transaction, that one.
   */
  readonly idleLimitS: number;
  /** Offset of our sessions' time zone from UTC, minutes. */
  readonly sessionOffsetMinutes: number;
  /** The server's clock minus ours, milliseconds; accurate to half a round trip. */
  readonly clockSkewMs: number;
  readonly roundTripMs: number;
  readonly schemaCurrent: boolean;
};

/** `messages`: those that are ready in the queue, without those that were delivered and not yet acknowledged. */
export type QueueFacts = { readonly name: string; readonly messages: number; readonly consumers: number };

/** What an operator should know about the broker, as far as AMQP reveals it. */
export type BrokerFacts = {
  readonly product: string;
  readonly version: string;
  /** Of the lanes: those that are declared. */
  readonly queues: readonly QueueFacts[];
  readonly deadQueue: QueueFacts | null;
  /** How the existing topology differs from our declaration; null if it does not. */
  readonly mismatch: string | null;
  /** Milliseconds until a persistent message to a temporary queue was confirmed; null if it was not. */
  readonly confirmMs: number | null;
  /** The broker blocks publishers (memory or disk alarm). */
  readonly blocked: boolean;
};
