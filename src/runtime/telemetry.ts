import { channel } from 'node:diagnostics_channel';
import type { Lane } from '../event/lane.ts';
import type { Settled } from '../event/outcome.ts';

/**
 * What the pipeline says about itself, as it happens. Stages tell, and know nothing of who listens (metrics/): without
 * a listener, telling costs a comparison. Never contains ids of users or conversations, or text.
 */
type Signal<T> = {
  tell(value: T): void;
  /** The listener runs inside `tell`; what it throws is reported as an uncaught exception, and not to the stage. */
  listen(listener: (value: T) => void): void;
};

function signal<T extends object>(name: string): Signal<T> {
  const told = channel(`afterword:${name}`);
  return {
    tell(value) {
      if (told.hasSubscribers) told.publish(value);
    },
    listen(listener) {
      told.subscribe((value) => listener(value as T));
    },
  };
}

/** What a delivery was answered with, and why. */
export type Answer = Settled | { readonly as: 'bug' | 'requeued' };

/** Parts of an attempt. `score_wait`: until a thread takes the conversation. */
export type Step = 'load' | 'score_wait' | 'score' | 'settle';

export const telemetry = {
  /** A request to accept was answered. */
  /** A new event was put into a lane. */
  laned: signal<{ readonly lane: Lane; readonly why: 'noisy' | 'asked' | 'rule' | 'default' }>('laned'),
  accepted: signal<{ readonly result: 'new' | 'replay' | 'conflict'; readonly ms: number }>('accepted'),
  /** A webhook was sent, and what becomes of it. */
  webhookSent: signal<{ readonly verdict: 'delivered' | 'retry' | 'failed' | 'disable'; readonly ms: number }>(
    'webhook-sent',
  ),
  /** A maintenance job has ended. */
  maintained: signal<{ readonly job: string; readonly state: 'done' | 'failed' | 'lost'; readonly removed: number }>(
    'maintained',
  ),
  /** A request was answered with a problem document. */
  refused: signal<{ readonly status: number; readonly code: string }>('refused'),
  /** A group commit has ended. */
  committed: signal<{
    readonly group: string;
    readonly items: number;
    readonly ms: number;
    readonly ok: boolean;
  }>('committed'),
  /** A publication was confirmed, or failed with `code`. */
  published: signal<{ readonly code: string | null; readonly ms: number }>('published'),
  /** A relay has claimed due events; some of them are probably queued, and were postponed. */
  claimed: signal<{ readonly events: number; readonly postponed: number }>('claimed'),
  /** Events that the broker lost were made due. */
  foundLost: signal<{ readonly events: number }>('found-lost'),
  /** A part of an attempt has ended. */
  stepped: signal<{ readonly step: Step; readonly ms: number }>('stepped'),
  /** A delivery was answered. `acceptedAt`: milliseconds since the epoch, from the event's id; null if it has none. */
  answered: signal<{
    readonly settled: Answer;
    /** Neither delivered nor tried before, as far as the message and the row tell. */
    readonly isFirst: boolean;
    readonly acceptedAt: number | null;
    readonly ms: number;
  }>('answered'),
  /** A scoring thread was replaced. `memory`: the process is short of it. */
  threadReplaced: signal<{ readonly reason: 'tasks' | 'heap' | 'memory' | 'overdue' | 'lost' }>('thread-replaced'),
  /** The memory of a worker has become short or is so no more, or the worker ends because of it. */
  memory: signal<{ readonly state: 'short' | 'recovered' | 'ending' }>('memory'),
  /** A message of a live session was acknowledged. */
  sessionMessage: signal<{ readonly from: 'redis' | 'database'; readonly isReplay: boolean; readonly ms: number }>(
    'session-message',
  ),
  /** Messages of live sessions were written to the database, or could not be. */
  sessionsSynced: signal<{ readonly messages: number; readonly ms: number; readonly ok: boolean }>('sessions-synced'),
  /** A responder has answered, or failed with `code`. */
  responded: signal<{ readonly code: string | null; readonly ms: number }>('responded'),
  /** Phonemes were found, or could not be for the reason in `code`. */
  phonemes: signal<{
    readonly from: 'cache' | 'redis' | 'source';
    readonly code: string | null;
    readonly ms: number;
  }>('phonemes'),
  /** Calls to the phoneme service have been stopped, because it is down, or go on. */
  phonemeCircuit: signal<{ readonly isOpen: boolean }>('phoneme-circuit'),
  /** An analyser has answered, or failed for the reason in `code`. */
  analyserCalled: signal<{ readonly analyser: string; readonly code: string; readonly ms: number }>('analyser-called'),
  /** A model has read conversations, for so many tokens. */
  analysed: signal<{ readonly prompt: number; readonly completion: number; readonly conversations: number }>(
    'analysed',
  ),
  /** Redis has become usable, or is so no more. */
  redisLink: signal<{ readonly isUp: boolean }>('redis-link'),
  /** A broker session has begun or ended. */
  brokerSession: signal<{ readonly link: 'consume' | 'publish'; readonly isUp: boolean }>('broker-session'),
} as const;

/** Milliseconds since `began`, as `performance.now()` counts. */
export function msSince(began: number): number {
  return performance.now() - began;
}
