import type { EventId } from '../event/event.ts';

export const jobNames = ['partitions', 'housekeeping', 'text-retention', 'event-retention'] as const;
export type JobName = (typeof jobNames)[number];

/**
 * `new`: the job was first seen, and runs from its next time on. `lost`: whoever ran it has gone, so it is run again.
 */
export type RunState = 'new' | 'running' | 'done' | 'failed' | 'lost';

export type Run = {
  readonly runId: number;
  readonly job: string;
  /** When its schedule wanted it; null: run by hand. */
  readonly dueAt: Date | null;
  readonly state: RunState;
  readonly runner: string;
  readonly startedAt: Date;
  readonly endedAt: Date | null;
  /** Rows that it removed, or partitions that it made. */
  readonly removed: number;
  readonly detail: string | null;
};

/** The scheduled runs of a job, newest first: enough to see how often the last one has failed. */
export type History = readonly Pick<Run, 'dueAt' | 'state' | 'endedAt' | 'detail'>[];

export type Runs = {
  history(job: JobName): Promise<History>;
  firstSeen(job: JobName, dueAt: Date): Promise<void>;
  begin(job: JobName, dueAt: Date | null): Promise<number>;
  progress(runId: number, removed: number): Promise<void>;
  end(
    runId: number,
    how: { readonly state: 'done' | 'failed' | 'lost'; readonly removed: number; readonly detail: string | null },
  ): Promise<void>;
  /** For the leader: whoever was running something has gone. */
  markLost(): Promise<void>;
};

/**
 * Runs `work` while this process is the leader of all that share the database. The signal fires if it stops being the
 * leader, or `stop` does. @returns null: another one is.
 */
export type AsLeader = <T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: { readonly stop: AbortSignal; readonly waitSeconds: number },
) => Promise<{ readonly value: T } | null>;

type Done = { readonly removed: number; readonly detail: string | null };

export type Job = {
  readonly name: JobName;
  /** A cron expression; null: only by hand. */
  readonly schedule: string | null;
  /** @param removed  to be told of progress: rows removed so far. */
  run(context: { readonly signal: AbortSignal; readonly removed: (rows: number) => void }): Promise<Done>;
};

export type Month = { readonly name: string };
/** `texts`: an estimate of the server. */
export type RemovedMonth = Month & { readonly texts: number };

/** A page of a removal: what it removed, and where the next page begins; null: that was all. */
export type Page<Position> = { readonly removed: number; readonly next: Position | null };

/** What the jobs do to the database, a page per call. */
export type Removals = {
  addMonths(now: Date): Promise<readonly Month[]>;
  dropMonths(before: EventId): Promise<readonly RemovedMonth[]>;
  /** Texts of closed events. */
  texts(options: { readonly after: string; readonly before: EventId }): Promise<Page<string>>;
  /** Ended sessions with what was said in them. */
  sessions(before: Date): Promise<Page<true>>;
  /** Closed events, after their results went to the ledger. */
  events(options: { readonly after: string; readonly before: Date }): Promise<Page<string>>;
  /** Lines of the feed of closed events. */
  feedLines(before: Date): Promise<Page<true>>;
  erasedIds(before: Date): Promise<Page<true>>;
  runs(before: Date): Promise<Page<true>>;
  /** Of `afterword rescore`: what runs found, and nobody came back to. */
  rescored(before: Date): Promise<Page<true>>;
};
