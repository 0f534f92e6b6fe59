/** One item of a conversation after normalisation. It is stored and scored in this form. */
export type Turn = {
  readonly speaker: 'pika' | 'user';
  /** Position among the kept items, from 1. */
  readonly turn_id: number;
  readonly text: string;
  /** ISO 8601, UTC, milliseconds, `Z`. */
  readonly timestamp: string;
  /** Of a user's item: what they were asked to say. */
  readonly target_text?: string;
};

/** How close items of the user came to their targets, from 0 to 1, and the mean. */
export type Pronunciation = {
  readonly items: readonly { readonly turn_id: number; readonly similarity: number }[];
  readonly mean: number;
};

/** Who spoke, by any of the names that clients use; null: neither side. */
export function speakerOf(value: unknown): Turn['speaker'] | null {
  if (typeof value !== 'string') return null;
  const name = value.toUpperCase();
  if (name.includes('BOT') || name.includes('PIKA')) return 'pika';
  return name.includes('USER') ? 'user' : null;
}

/** What an analyser found; what it does not say, the scorer finds itself. */
export type Analysis = {
  readonly emotion?: string;
  /** Items of the user that ask something of their own accord. */
  readonly userQuestions?: number;
  readonly newMemories?: number;
};

/** Code points of a `target_text`, and of any text whose pronunciation is compared. */
export const maxTargetLength = 500;

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
  /** With `PRONUNCIATION_SCORING=on`, if an item has a `target_text`. */
  readonly pronunciation?: Pronunciation;
  /** With `ANALYSER_MODULE`. */
  readonly analysis?: Analysis & { /** Names and versions. */ readonly by: string };
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

/** The piece of a conversation's text that is its log. */
export function logOf(text: ConversationText): Uint8Array {
  return text[3] ?? new Uint8Array();
}

/** Adds what was found before scoring. */
export function withField<K extends 'pronunciation' | 'analysis'>(
  text: ConversationText,
  name: K,
  value: NonNullable<Conversation[K]>,
): ConversationText {
  return [...text.slice(0, -1), Buffer.from(`,"${name}":${JSON.stringify(value)}`), end];
}
