import { pipeline } from 'node:stream/promises';
import { getHeapSnapshot, getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';
import { PipelineError } from '../event/fault.ts';
import { Problem } from '../runtime/http/problem.ts';
import { type Route, sendJson } from '../runtime/http/routes.ts';
import type { Profiler } from './cpu-profile.ts';
import { mostSeconds } from './ports.ts';
import { requireOperator } from './require-operator.ts';

const defaultSeconds = 10;

/** `POST /ops/profile`, `GET /ops/heap`, and `POST /ops/heap` for a snapshot. */
export function profileRoutes(options: {
  readonly profiler: Profiler;
  /** Bytes of the scoring threads' heaps that are in use. */
  readonly threadHeaps: () => readonly number[];
  /** `OPS_KEY`. */
  readonly key: string | null;
  /** `OPS_HEAP_SNAPSHOTS`: a snapshot contains conversations. */
  readonly allowsSnapshots: boolean;
}): Route[] {
  let isTakingSnapshot = false;
  return [
    {
      method: 'POST',
      path: '/ops/profile',
      async handle(request, response, query) {
        requireOperator(request, options.key);
        const seconds = secondsIn(query);
        const of = query.get('thread') === null ? 'process' : 'thread';
        const gone = new AbortController();
        response.once('close', () => gone.abort());
        const text = await options.profiler.profile(of, seconds, gone.signal).catch((error: unknown) => {
          throw refusal(error) ?? error;
        });
        response
          .writeHead(200, {
            'content-type': 'application/json',
            'content-disposition': 'attachment; filename="afterword.cpuprofile"',
          })
          .end(text);
      },
    },
    {
      method: 'GET',
      path: '/ops/heap',
      async handle(request, response) {
        requireOperator(request, options.key);
        sendJson(response, 200, {
          process: process.memoryUsage(),
          heap: getHeapStatistics(),
          spaces: getHeapSpaceStatistics(),
          thread_heap_bytes: options.threadHeaps(),
        });
      },
    },
    {
      method: 'POST',
      path: '/ops/heap',
      async handle(request, response) {
        requireOperator(request, options.key);
        if (!options.allowsSnapshots)
          throw new Problem(
            403,
            'snapshots_off',
            'a snapshot contains conversations, and stops the process while it is taken: set OPS_HEAP_SNAPSHOTS=true ' +
              'and start it again, or ask for the summary with GET',
          );
        if (isTakingSnapshot) throw new Problem(409, 'snapshot_running', 'a snapshot is being taken; one at a time');
        isTakingSnapshot = true;
        response.writeHead(200, {
          'content-type': 'application/json',
          'content-disposition': 'attachment; filename="afterword.heapsnapshot"',
        });
        await pipeline(getHeapSnapshot(), response).finally(() => {
          isTakingSnapshot = false;
        });
      },
    },
  ];
}

function secondsIn(query: URLSearchParams): number {
  const text = query.get('seconds') ?? String(defaultSeconds);
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= mostSeconds) return seconds;
  throw new Problem(422, 'bad_seconds', `seconds must be a whole number from 1 to ${mostSeconds}`);
}

function refusal(error: unknown): Problem | null {
  if (!(error instanceof PipelineError)) return null;
  return new Problem(409, error.code.toLowerCase(), error.message, { cause: error });
}
