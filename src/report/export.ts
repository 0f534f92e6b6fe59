import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import type { Request, RequestHandler } from 'express';
import { type EventId, type EventStatus, firstEventIdAt } from '../event/event.ts';
import { PipelineError } from '../event/fault.ts';
import {
  type Caller,
  callerOf,
  noteProblem,
  Problem,
  parseQuery,
  problemOf,
  requireValid,
  type Slots,
} from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { encodeCursor } from './cursor.ts';
import type { EventView, ExportEvents, FindTexts, TextView } from './ports.ts';
import { exportQuery } from './query.ts';
import type { Reads } from './reads.ts';
import { type Part, presentEvent } from './views.ts';
import { userIn } from './whose.ts';

/** Of one read: enough that the reads do not limit the rate, few enough for a few megabytes. */
const pageSize = 500;
/** With their texts. */
const textPageSize = 100;
/** Of a page of them, if each is as large as it may be. */
const textPageBytes = 33_554_432;
/** At the same time: each takes a connection of the database again and again. */
export const maxExports = 4;
/**
 * An event may be committed after one with a later id: within its deadline, by the clock of another API. What is
 * younger is left to the next export, so that one that continues from a cursor misses nothing.
 */
const leastSettledMs = 15_000;
/** For clocks that differ. */
const skewMs = 10_000;
/** A client that reads nothing for this long has gone. */
const silenceMs = 60_000;

/**
 * `GET /v1/conversations/export`: conversations as NDJSON, oldest first, read page by page as fast as the client reads.
 * Each line has a `cursor`, from which another export continues.
 */
export function exportHandler(options: {
  readonly exportEvents: ExportEvents;
  readonly findTexts: FindTexts;
  readonly reads: Reads;
  readonly exports: Slots;
  /** `ACCEPT_DEADLINE_MS`, `MAX_BODY_BYTES`. */
  readonly acceptDeadlineMs: number;
  readonly maxBodyBytes: number;
  readonly stop: AbortSignal;
  readonly log: Logger;
}): RequestHandler {
  const { exportEvents, findTexts, reads, stop } = options;
  const settledMs = Math.max(leastSettledMs, options.acceptDeadlineMs + skewMs);
  const textLimit = Math.max(1, Math.min(textPageSize, Math.floor(textPageBytes / options.maxBodyBytes)));

  async function* lines(filter: Filter, include: readonly Part[], caller: Caller): AsyncGenerator<string> {
    const limit = include.length > 0 ? textLimit : pageSize;
    let after = filter.after;
    for (;;) {
      requireValid(caller);
      const until = firstEventIdAt(new Date(Date.now() - settledMs));
      const rows = await reads.bounded(() => exportEvents({ ...filter, after, until }, limit));
      const ids = rows.map(({ event_id }) => event_id);
      const texts = include.length > 0 && rows.length > 0 ? await reads.bounded(() => findTexts(ids)) : null;
      const page = rows.map((row) => lineOf(row, include, texts?.get(row.event_id) ?? null));
      if (page.length > 0) yield page.join('');
      const last = rows.at(-1);
      if (last === undefined || rows.length < limit) return;
      // An answer that breaks off is told from one that is complete.
      if (stop.aborted)
        throw new PipelineError('transient', 'DRAINED', 'this API ends: another one goes on from the last cursor');
      after = last.event_id as EventId;
    }
  }

  return async (request, response) => {
    const { since, status, user_id, cursor, include } = parseQuery(exportQuery, request.query);
    const caller = callerOf(response);
    if (include.length > 0) requireTextScope(caller);
    const userId = userIn(caller, user_id);
    const filter = {
      after: cursor ?? firstEventIdAt(since ?? new Date(0)),
      ...(status && { status }),
      ...(userId !== undefined && { userId }),
    };
    options.exports.take(response);
    response.setTimeout(silenceMs, () => response.destroy());
    const source = lines(filter, include, caller);
    // The first page is read before the answer begins, so that a database that is away is a 503.
    const first = request.method === 'HEAD' ? { done: true as const, value: undefined } : await source.next();
    const encoding = encodingOf(request);
    response.setHeader('Content-Type', 'application/x-ndjson; charset=utf-8');
    response.setHeader('Cache-Control', 'no-store');
    response.vary('Accept-Encoding');
    if (encoding !== null) response.setHeader('Content-Encoding', encoding);
    response.flushHeaders();
    const body = Readable.from(resumed(first, source));
    try {
      if (encoding === null) await pipeline(body, response);
      else await pipeline(body, encoding === 'zstd' ? createZstdCompress() : createGzip(), response);
    } catch (error) {
      // The client has left, or the database has: the answer breaks off.
      if (!response.destroyed) response.destroy();
      if (!isGone(error)) noteProblem(problemOf(error), error, options.log);
    }
  };
}

/** The client has left. */
function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE';
}

type Filter = { readonly after: EventId; readonly status?: EventStatus; readonly userId?: string };

async function* resumed(first: IteratorResult<string, unknown>, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}

function lineOf(row: EventView, include: readonly Part[], text: TextView | null): string {
  return `${JSON.stringify({ ...presentEvent(row, include, text), cursor: encodeCursor(row.event_id) })}\n`;
}

/** What children have said, of everybody at once: more than `read`. @throws {Problem} 403 */
function requireTextScope(caller: Caller): void {
  if (!caller.may('admin')) throw new Problem(403, 'scope_missing', 'texts are exported with the scope "admin" only');
}

function encodingOf(request: Request): 'zstd' | 'gzip' | null {
  const accepted = request.acceptsEncodings('zstd', 'gzip', 'identity');
  return accepted === 'zstd' || accepted === 'gzip' ? accepted : null;
}
