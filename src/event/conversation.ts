/** One item of a conversation after normalisation. It is stored and scored in this form. */
export type Turn = {
  readonly speaker: 'pika' | 'user';
  /** Position among the kept items, from 1. */
  readonly turn_id: number;
  readonly text: string;
  /** ISO 8601, UTC, milliseconds, `Z`. */
  readonly timestamp: string;
};

/** Who spoke, by any of the names that clients use; null: neither side. */
export function speakerOf(value: unknown): Turn['speaker'] | null {
  if (typeof value !== 'string') return null;
  const name = value.toUpperCase();
  if (name.includes('BOT') || name.includes('PIKA')) return 'pika';
  return name.includes('USER') ? 'user' : null;
}

/** What a scorer gets. */
export type Conversation = {
  readonly conversation_id: string;
  readonly user_id: string;
  readonly bot_type: string;
  readonly bot_id: string;
  readonly bot_name: string;
  readonly agent_tag: string | null;
  readonly start_time: string;
  readonly end_time: string;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  readonly conversation_log: readonly Turn[];
};

/**
 * The JSON text of a conversation, in pieces to be joined. Log and metadata are stored as JSON and go in unchanged, so
 * that they are parsed only once, in a scoring thread.
 */
export type ConversationText = readonly Uint8Array[];

const noMetadata = Buffer.from('null');
const beforeLog = Buffer.from(',"conversation_log":');
const end = Buffer.from('}');

/**
 * @param head  everything but metadata and log.
 * @param metadata  JSON text of an object, or null.
 * @param log  JSON text of `Turn[]`.
 */
export function conversationText(
  head: Omit<Conversation, 'metadata' | 'conversation_log'>,
  metadata: Uint8Array | null,
  log: Uint8Array,
): ConversationText {
  const start = Buffer.from(`${JSON.stringify(head).slice(0, -1)},"metadata":`);
  return [start, metadata ?? noMetadata, beforeLog, log, end];
}
