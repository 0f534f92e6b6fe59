import { maxTargetLength, speakerOf, type Turn } from '../event/conversation.ts';
import { type FieldError, notUnicode } from '../runtime/http/index.ts';
import { isoTime } from '../runtime/iso-time.ts';
import { parseTime } from '../runtime/parse-time.ts';

type Item = {
  readonly speaker: Turn['speaker'];
  readonly text: string;
  readonly timestamp: Date | null;
  /** Empty: none. */
  readonly target: string;
};

/**
 * Normalises a conversation log. Clients send two shapes, sometimes both in one list, so each item is recognised
 * separately: `{character, content}` or `{speaker, text, turn_id?, timestamp?}`. An item of neither shape is refused,
 * because dropping it would silently lose what was said.
 *
 * Items with blank text (whitespace only, or null) are dropped and the rest are numbered from 1. A missing timestamp
 * becomes start + step × index, with step = duration / items received. Dropped items count, so that the pause they
 * stand for remains.
 *
 * @param field  name of the list in the request, used in error pointers.
 */
export function normaliseLog(
  items: readonly unknown[],
  span: { readonly start: Date; readonly end: Date },
  field: string,
): { readonly turns: readonly Turn[]; readonly errors: readonly FieldError[] } {
  const errors: FieldError[] = [];
  const turns: Turn[] = [];
  const stepMs = (span.end.getTime() - span.start.getTime()) / items.length;
  let index = 0;
  const refuse = (name: string, detail: string) => void errors.push({ pointer: `/${field}/${index}${name}`, detail });
  for (; index < items.length; index++) {
    const item = recogniseItem(items[index], refuse);
    if (item === null || item.text === '') continue;
    turns.push({
      speaker: item.speaker,
      turn_id: turns.length + 1,
      text: item.text,
      timestamp: isoTime(item.timestamp?.getTime() ?? span.start.getTime() + stepMs * index),
      ...(item.target !== '' && { target_text: item.target }),
    });
  }
  return { turns, errors };
}

/** @returns null if the item is refused; `refuse` has then been called with the reason. */
function recogniseItem(raw: unknown, refuse: (name: string, detail: string) => void): Item | null {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    refuse('', 'must be an object with character and content, or with speaker and text');
    return null;
  }
  const item = raw as Record<string, unknown>;
  const isCharacter = 'character' in item || ('content' in item && !('speaker' in item));
  const [who, what] = isCharacter ? (['character', 'content'] as const) : (['speaker', 'text'] as const);
  const speaker = speakerOf(item[who]);
  if (speaker === null) {
    refuse(`/${who}`, item[who] === undefined ? 'is missing' : 'must name the bot (BOT, PIKA) or the user (USER)');
  }
  const text = textOf(
    item[what],
    (detail) => refuse(`/${what}`, detail),
    `is missing (with ${who}, the text is in ${what})`,
  );
  const timestamp = timestampOf(item['timestamp']);
  if (timestamp === undefined) refuse('/timestamp', 'must be an ISO 8601 date and time with zone');
  const target = speaker === 'pika' ? '' : targetOf(item['target_text'], (detail) => refuse('/target_text', detail));
  if (speaker === null || text === null || timestamp === undefined || target === null) return null;
  return { speaker, text, timestamp, target };
}

/** Speech-to-text yields null for silence; any other value that is not a string is a mistake. */
function textOf(value: unknown, refuse: (detail: string) => void, missing: string): string | null {
  if (value === null) return '';
  if (typeof value === 'string' && value.isWellFormed()) return value.trim();
  refuse(value === undefined ? missing : typeof value === 'string' ? notUnicode : 'must be a string');
  return null;
}

/** What the user was asked to say; null if it is refused. */
function targetOf(value: unknown, refuse: (detail: string) => void): string | null {
  if (value === undefined) return '';
  const target = textOf(value, refuse, '');
  if (target === null || [...target].length <= maxTargetLength) return target;
  refuse(`must have at most ${maxTargetLength} characters`);
  return null;
}

/** @returns null for "not given", undefined for "not a time". */
function timestampOf(value: unknown): Date | null | undefined {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? (parseTime(value) ?? undefined) : undefined;
}
