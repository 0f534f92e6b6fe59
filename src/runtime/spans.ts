import type { AsyncLocalStorage } from 'node:async_hooks';
import { tracingChannel } from 'node:diagnostics_channel';
import type { EventId } from '../event/event.ts';
import type { Answer } from './telemetry.ts';

/** How work ended: what it resolved with, or what it threw. */
type Ended = { readonly result?: unknown; readonly error?: unknown };

/**
 * Work that takes time, published when it begins and when it ends. Stages know nothing of who listens (traces/);
 * without a listener, it costs one comparison.
 */
type Span<T> = {
  /** Somebody listens. */
  readonly isHeard: boolean;
  /** Runs `work`. What is told may change until it ends: a listener adds headers, the work adds how it went. */
  around<R>(about: T, work: () => Promise<R>): Promise<R>;
  /** Inside the work, and in whatever it starts, `store` has what `begin` returned. */
  listen<S>(store: AsyncLocalStorage<S>, begin: (about: T) => S, end: (about: T & Ended) => void): void;
};

function span<T extends object>(name: string): Span<T> {
  const told = tracingChannel<unknown, T>(`afterword:${name}`);
  return {
    get isHeard() {
      return told.start.hasSubscribers;
    },
    around: (about, work) => (told.start.hasSubscribers ? told.tracePromise(work, about) : work()),
    listen(store, begin, end) {
      told.start.bindStore(store, begin as (about: unknown) => never);
      told.asyncEnd.subscribe((about) => end(about as T & Ended));
    },
  };
}

/** Headers of a request or a message; some carry a trace from one process to the next (W3C Trace Context). */
export type Headers = Readonly<Record<string, unknown>>;

/** When a scoring thread worked on a conversation: milliseconds since the epoch, and how long. */
export type ThreadRun = { readonly beganAt: number; readonly tookMs: number };

/** Spans may name events, which metrics never do; they contain no ids of users and no text. */
export const spans = {
  /** An HTTP request, until its answer has been sent. */
  request: span<{
    readonly method: string;
    readonly headers: Headers;
    /** Not set if the caller left before the answer. */
    status?: number;
    /** Null if there is no such endpoint. */
    route?: string | null;
  }>('request'),
  /** From a valid body to its commit. */
  accept: span<{
    readonly eventId: EventId;
    /** Of the request, for the event's row; set by a listener. */
    traceparent: string | null;
  }>('accept'),
  /** From a publish to its confirm. */
  publish: span<{
    readonly eventId: EventId;
    /** As in the event's row. */
    readonly traceparent: string | null;
    /** Of the message; added by a listener. */
    readonly headers: Record<string, string>;
  }>('publish'),
  /** From a delivery to its answer. */
  process: span<{
    readonly messageId: string | undefined;
    readonly bytes: number;
    readonly redelivered: boolean;
    readonly headers: Headers;
    answer?: Answer;
  }>('process'),
  load: span<object>('load'),
  /** From the submission to a thread, with the wait for one, to its outcome. */
  score: span<{
    /** For what the scorer calls; added by a listener. */
    readonly headers: Record<string, string>;
    ran?: ThreadRun;
  }>('score'),
  settle: span<object>('settle'),
  /** Messages of a live session, until they are in Redis or in the database. */
  take: span<{ source: 'redis' | 'database' }>('take'),
  /** What a responder says, or how it failed. */
  reply: span<object>('reply'),
  /** A batch of messages on its way from Redis to the database. */
  sync: span<{ readonly messages: number }>('sync'),
} as const;
