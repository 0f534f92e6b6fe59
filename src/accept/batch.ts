import type { Request, RequestHandler, Response } from 'express';
import {
  callerOf,
  drained,
  type Line,
  linesOf,
  mayTakeLong,
  noteProblem,
  Problem,
  parseJson,
  presentProblem,
  problemOf,
  requireValid,
  type Slots,
} from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { presentTaken, type Taken } from './take.ts';

/** Lines of one batch that are being accepted: enough for full commits, also while others are being made. */
const maxLines = 256;
/** Their bytes. One more line may be above this. */
const maxLineBytes = 4 * 1_024 * 1_024;
/** Batches at the same time; more would only share the same commits. */
export const maxBatches = 16;
/** Answers that are ready go out together, at most this long. */
const maxWriteBytes = 65_536;

/** For a client that still sends, to read its answers. */
const lingerMs = 2_000;

const mediaTypes = /^application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines|jsonlines)\s*(?:;|$)/i;

/**
 * `POST /v1/conversations/end/batch`: a body per line, and an answer per line, in the same order and as soon as it is
 * there. Reads no further than it can accept, and accepts no further than the client reads.
 */
export function batchHandler(options: {
  readonly take: (body: unknown, response: Response) => Promise<Taken>;
  readonly batches: Slots;
  readonly maxBodyBytes: number;
  readonly stop: AbortSignal;
  readonly log: Logger;
}): RequestHandler {
  const { take, maxBodyBytes, stop } = options;

  async function answer({ number, bytes }: Line, response: Response): Promise<string> {
    try {
      const caller = callerOf(response);
      requireValid(caller);
      await caller.charge?.(1);
      if (bytes === null) throw new Problem(413, 'body_too_large', `the line is longer than ${maxBodyBytes} bytes`);
      const taken = await take(parseJson(bytes), response);
      return lineOf({ line: number, status: 202, replayed: taken.replayed, body: presentTaken(taken) });
    } catch (error) {
      const problem = problemOf(error);
      noteProblem(problem, error, options.log);
      return lineOf({ line: number, status: problem.status, replayed: false, body: presentProblem(problem, response) });
    }
  }

  return async (request, response) => {
    requireLines(request);
    options.batches.take(response);
    mayTakeLong(request);
    response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8' });
    response.flushHeaders();
    const queue = createQueue(response);
    const reading = (async () => {
      // Not destroyed with the loop: the answers that are still to come need its connection.
      for await (const line of linesOf(request.iterator({ destroyOnReturn: false }), maxBodyBytes)) {
        if (stop.aborted || response.destroyed) break;
        await queue.add(answer(line, response), line.bytes?.length ?? 0);
      }
    })();
    try {
      // What was read is answered; the client sends the rest to another process.
      await Promise.race([reading, aborted(stop, response)]);
      await queue.end();
      response.end();
    } catch {
      // The client has left in the middle of a line: what it saw no answer for, it sends again.
      response.destroy();
    } finally {
      reading.catch(() => {});
      if (!request.complete) endInOrder(request, response);
    }
  };
}

/**
 * Ends a connection whose client still sends: closed with unread bytes, it would be reset, and what the client has not
 * read yet would be lost.
 */
function endInOrder(request: Request, response: Response): void {
  // The request forgets it when nobody reads on.
  const { socket } = request;
  request.on('error', () => {}).resume();
  response.once('finish', () => {
    socket.end();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
}

/** Resolves when the process is to end. */
function aborted(stop: AbortSignal, response: Response): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) return resolve();
    const onStop = () => resolve();
    stop.addEventListener('abort', onStop, { once: true });
    response.once('close', () => stop.removeEventListener('abort', onStop));
  });
}

/** Answers in the order in which they were added, as soon as they are there. */
function createQueue(response: Response) {
  const waiting: { readonly text: Promise<string>; readonly bytes: number }[] = [];
  let bytes = 0;
  let changed = Promise.withResolvers<void>();
  let isEnded = false;
  let failure: unknown = null;
  const written = write().catch((error: unknown) => {
    failure = error ?? new Error('the client has left');
    change();
  });
  function change(): void {
    changed.resolve();
    changed = Promise.withResolvers();
  }

  async function write(): Promise<void> {
    for (;;) {
      const first = waiting[0];
      if (first === undefined) {
        if (isEnded) return;
        await changed.promise;
        continue;
      }
      let text = await first.text;
      take();
      // Those that are ready by now.
      for (let next = await ready(); next !== null && text.length < maxWriteBytes; next = await ready()) {
        text += next;
        take();
      }
      change();
      if (response.destroyed) throw new Error('the client has left');
      if (!response.write(text)) await drained(response);
    }
  }

  function take(): void {
    bytes -= waiting.shift()?.bytes ?? 0;
  }

  /** The next answer if it is there, else null. */
  function ready(): Promise<string | null> {
    const next = waiting[0];
    return next === undefined ? Promise.resolve(null) : Promise.race([next.text, Promise.resolve(null)]);
  }

  return {
    /** Waits until there is room for more. */
    async add(text: Promise<string>, size: number): Promise<void> {
      waiting.push({ text, bytes: size });
      bytes += size;
      change();
      while (failure === null && (waiting.length >= maxLines || bytes >= maxLineBytes)) await changed.promise;
      if (failure !== null) throw failure;
    },
    async end(): Promise<void> {
      isEnded = true;
      change();
      await written;
      if (failure !== null) throw failure;
    },
  };
}

function requireLines({ headers }: Request): void {
  if (!mediaTypes.test(headers['content-type'] ?? ''))
    throw new Problem(415, 'unsupported_media_type', 'the body must be sent with Content-Type: application/x-ndjson');
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity')
    throw new Problem(415, 'unsupported_encoding', 'a batch cannot be compressed');
}

function lineOf(answer: object): string {
  return `${JSON.stringify(answer)}\n`;
}
