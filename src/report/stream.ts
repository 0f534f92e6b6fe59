import { setTimeout as delay } from 'node:timers/promises';
import type { RequestHandler, Response } from 'express';
import { isOpen } from '../event/event.ts';
import { actsFor, callerOf, drained, Problem, parseQuery, type Slots } from '../runtime/http/index.ts';
import type { Feed } from './feed.ts';
import type { ClosedLine, EventView } from './ports.ts';
import { streamQuery } from './query.ts';
import { presentEvent } from './views.ts';

export const maxStreams = 500;
/** Proxies end connections on which nothing is said for a minute or so. */
const breathMs = 15_000;
/** A client that takes nothing for this long has gone. */
const silenceMs = 60_000;
/** How long clients should wait before they connect again. */
const reconnectMs = 2_000;
const afterErrorMs = 1_000;

/**
 * `GET /v1/events/stream`: conversations as they are closed, as server-sent events. A client that comes back with the
 * `Last-Event-ID` that it has seen misses nothing, whichever API it comes back to.
 */
export function streamHandler(options: {
  readonly feed: Feed;
  readonly streams: Slots;
  readonly stop: AbortSignal;
}): RequestHandler {
  const { feed } = options;

  return async (request, response) => {
    const { user_id: userId, status } = parseQuery(streamQuery, request.query);
    const caller = callerOf(response);
    const isWanted = (event: EventView) =>
      !isOpen(event.status) &&
      actsFor(caller, event.user_id) &&
      (userId === undefined || event.user_id === userId) &&
      (status === undefined || event.status === status);
    const seen = positionIn(request.get('last-event-id'));
    options.streams.take(response);
    let position = await feed.begin(seen);
    if (response.destroyed) return;
    response.setTimeout(0);
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Tells nginx to pass on what comes at once.
      'x-accel-buffering': 'no',
    });
    response.write(`retry: ${reconnectMs}\nid: ${position}\n\n`);
    if (request.method === 'HEAD') return void response.end();
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const end = AbortSignal.any([gone.signal, options.stop]);
    const breath = setInterval(() => {
      if (caller.isValid()) response.write(': \n\n');
      // Ended in the middle of whatever it is that the client does not take.
      else response.destroy();
    }, breathMs);
    response.on('error', () => {}); // it is closed, too
    try {
      while (!end.aborted && caller.isValid()) {
        const lines = await feed.after(position, end).catch(() => 'away' as const);
        if (lines === 'away') await delay(afterErrorMs);
        else if (lines !== null && caller.isValid() && !response.destroyed)
          position = await send(response, lines, isWanted, position);
      }
    } finally {
      clearInterval(breath);
      response.end();
    }
  };
}

/** Also what is filtered moves the position: a client that comes back need not read it again. */
async function send(
  response: Response,
  lines: readonly ClosedLine[],
  isWanted: (event: EventView) => boolean,
  position: number,
): Promise<number> {
  const last = lines.at(-1)?.seq ?? position;
  const wanted = lines.flatMap(({ seq, event }) => (event !== null && isWanted(event) ? [{ seq, event }] : []));
  const text = wanted.map(
    ({ seq, event }) =>
      `id: ${seq}\nevent: conversation.${event.status.toLowerCase()}\ndata: ${JSON.stringify(presentEvent(event))}\n\n`,
  );
  if (wanted.at(-1)?.seq !== last) text.push(`id: ${last}\n\n`);
  if (response.write(text.join(''))) return last;
  const timer = setTimeout(() => response.destroy(), silenceMs);
  await drained(response).finally(() => clearTimeout(timer));
  return last;
}

/** @throws {Problem} 422 */
function positionIn(lastEventId: string | undefined): number | null {
  if (lastEventId === undefined || lastEventId === '') return null;
  if (/^\d{1,15}$/.test(lastEventId)) return Number(lastEventId);
  throw new Problem(422, 'invalid_request', 'Last-Event-ID must be the id of an earlier event', {
    errors: [{ pointer: '#Last-Event-ID', detail: 'must be the id of an earlier event' }],
  });
}
