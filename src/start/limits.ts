import type { Config } from '../config.ts';
import { deadlinesToEnd, mostDeadlines, roundsFor } from '../score/index.ts';

/** For statements outside the accept path: generous, but a silent peer still cannot hold them forever. */
export const statementDeadlineMs = 10_000;

/** RabbitMQ closes a channel that holds a delivery for longer (`consumer_timeout`, 30 min by default). */
export const consumerTimeoutMs = 30 * 60_000;

/**
 * The longest that a delivery may stay unacknowledged while the database is up and every scoring runs to its deadline.
 * If scorings use the CPU, it waits for all others on its thread, and once more if one of them ends the thread. If they
 * wait, it may have to be scored several times until the scoring that ended the thread is found.
 *
 * @param waits  what the scorer declares.
 */
export function longestWaitMs(config: Config, waits: boolean | null): number {
  const each = Math.ceil(config.concurrency / config.scoringThreads);
  const working = (each + 1) * deadlinesToEnd;
  const waiting = (1 + roundsFor(each)) * mostDeadlines;
  const deadlines = waits === null ? Math.max(working, waiting) : waits ? waiting : working;
  const comparing = config.scoresPronunciation ? config.scoringTimeoutMs : 0;
  const analysing = config.analysers.length > 0 ? longestAnalysisMs(config) : 0;
  return Math.ceil(deadlines * config.scoringTimeoutMs + comparing + analysing);
}

/** With waits for a connection, for a batch and for the budget, and once more if a batch is taken apart. */
function longestAnalysisMs(config: Config): number {
  const turns = Math.ceil(config.concurrency / config.analyserConnections);
  const hasBudget = config.analyserTokensPerMinute > 0 || config.analyserTokensPerDay > 0;
  const once = turns * config.analyserTimeoutMs + (hasBudget ? config.analyserTimeoutMs : 0);
  return config.analyserBatch > 1 ? 2 * once + config.analyserBatchWaitMs : once;
}

/** The most scorings that a worker runs at the same time. */
export function maxConcurrent(config: Config, waits: boolean | null): number {
  return waits === false ? config.scoringThreads : config.concurrency;
}
