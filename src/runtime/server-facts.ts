/** What a person should know about the database server. */
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
  /** What the server says to the writes of accepting and settling; null: it takes them. */
  readonly writesRefused: string | null;
  readonly charset: string;
  /**
   * Seconds after which the server ends a session of ours that says nothing; in a transaction, if the server tells them
   * apart.
   */
  readonly idleLimitS: number;
  /** Minutes that a session of ours is from UTC. */
  readonly sessionOffsetMinutes: number;
  /** Server's clock minus ours, milliseconds; as exact as half a round trip. */
  readonly clockSkewMs: number;
  readonly roundTripMs: number;
  readonly schemaCurrent: boolean;
};

/** `messages`: those that wait in the queue, not those that were delivered. */
export type QueueFacts = { readonly name: string; readonly messages: number; readonly consumers: number };

/** What a person should know about the broker, as far as AMQP tells it. */
export type BrokerFacts = {
  readonly product: string;
  readonly version: string;
  /** Null: not declared yet. */
  readonly queue: QueueFacts | null;
  readonly deadQueue: QueueFacts | null;
  /** What differs between our declaration and what is there; null: nothing. */
  readonly mismatch: string | null;
  /** Milliseconds until a persistent message to a queue of its own was confirmed; null: it was not. */
  readonly confirmMs: number | null;
  /** The broker blocks publishers (memory or disk alarm). */
  readonly blocked: boolean;
};
