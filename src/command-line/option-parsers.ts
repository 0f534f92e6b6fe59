import { InvalidArgumentError } from 'commander';
import ms, { type StringValue } from 'ms';
import { mostSeconds } from '../diagnostics/ports.ts';
import { type EventId, type EventStatus, eventStatuses, parseEventId } from '../event/event.ts';

/** Turn option texts into values, or explain what was expected. */
export const parsers = {
  profileSeconds(text: string): number {
    const n = Number(text);
    if (!Number.isInteger(n) || n < 1 || n > mostSeconds)
      throw new InvalidArgumentError(`must be a whole number from 1 to ${mostSeconds}`);
    return n;
  },
  count(text: string): number {
    const n = Number(text);
    if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('must be a whole number of at least 1');
    return n;
  },

  port(text: string): number {
    const n = Number(text);
    if (!/^\d{1,5}$/.test(text) || n > 65_535)
      throw new InvalidArgumentError('must be a port from 1 to 65535, or 0 for a free one');
    return n;
  },

  /** Fractions are allowed. */
  seconds(text: string): number {
    const n = Number(text);
    if (text.trim() === '' || !Number.isFinite(n) || n < 0 || n > 86_400)
      throw new InvalidArgumentError('must be a number of seconds from 0 to 86400');
    return n;
  },

  concurrency(text: string): number | 'default' {
    if (text === 'default') return text;
    const n = Number(text);
    if (!Number.isInteger(n) || n < 1 || n > 1_000)
      throw new InvalidArgumentError('must be a whole number from 1 to 1000, or `default`');
    return n;
  },

  eventId(text: string): EventId {
    const id = parseEventId(text);
    if (id === null) throw new InvalidArgumentError('must be an event id, as shown by the list command');
    return id;
  },

  /** @returns milliseconds. */
  duration(text: string): number {
    const found = parseDuration(text);
    if (found === null) throw new InvalidArgumentError('must be a duration such as 30s, 10m, 2h or 1d');
    return found;
  },

  /** A time, or a duration counted back from now. */
  moment(text: string): Date {
    const back = parseDuration(text);
    if (back !== null && back <= Date.now()) return new Date(Date.now() - back);
    const time = /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:?\d\d)$/.test(text) ? new Date(text) : null;
    if (time !== null && !Number.isNaN(time.getTime())) return time;
    throw new InvalidArgumentError(
      'must be a duration back from now (2h, 1d; not before 1970) or a time with zone (2026-01-31T20:00:00Z)',
    );
  },

  /** With the same limit on the length as in the API. */
  reason(text: string): string {
    if ([...text].length > 500) throw new InvalidArgumentError('must have at most 500 characters');
    return text;
  },

  status(text: string): EventStatus {
    const status = eventStatuses.find((s) => s === text.toUpperCase());
    if (status === undefined) throw new InvalidArgumentError(`must be one of ${eventStatuses.join(', ')}`);
    return status;
  },
} as const;

function parseDuration(text: string): number | null {
  if (!/^\d+(\.\d+)?\s*[a-z]+$/i.test(text)) return null;
  const found = ms(text as StringValue) as number | undefined;
  return found !== undefined && Number.isFinite(found) ? found : null;
}
