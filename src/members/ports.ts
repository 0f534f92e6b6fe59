/** Operators wait this long until a member does what they asked. */
export const lookMs = 5_000;
/** A heartbeat is a write, and costs several times as much as a look (docs/decisions/0021). */
export const looksPerHeartbeat = 2;
/** A member counts as lost after three heartbeats that are missing. */
export const lostAfterMs = 3 * looksPerHeartbeat * lookMs;

export type MemberState = 'starting' | 'running' | 'paused' | 'draining' | 'stopped';

/** A process of the fleet, as it introduces itself. */
export type Member = {
  readonly memberId: string;
  readonly role: 'api' | 'worker';
  /** `worker-1` in a fleet; otherwise the role. */
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly scorer: string | null;
};

/** What it says with each heartbeat. Null: not of this role. */
export type Vitals = {
  readonly state: MemberState;
  readonly concurrency: number | null;
  readonly inFlight: number | null;
  readonly threads: number | null;
  readonly busyThreads: number | null;
  /** Events processed since it started. */
  readonly processed: number | null;
  /** Of one core, since the last heartbeat. */
  readonly cpuPercent: number;
  readonly rssBytes: number;
};

/** Adds the member, or lets it have the row of one that was last seen over a day ago: rows are never deleted. */
export type JoinFleet = (member: Member, vitals: Vitals) => Promise<void>;
/**
 * Resolves with how often operators have asked something of the member; null if its row is gone, because another member
 * has it.
 */
export type SendHeartbeat = (memberId: string, vitals: Vitals) => Promise<number | null>;
/** The same, between heartbeats. */
export type ReadAsked = (memberId: string) => Promise<number | null>;

/** A member as `afterword ps` shows it. */
export type SeenMember = Member &
  Vitals & {
    readonly startedAt: Date;
    readonly seenAt: Date;
    /** Milliseconds since `seenAt`, by the database's clock. */
    readonly silentMs: number;
    /** Its attempts that are shown as PROCESSING. */
    readonly processing: number;
  };

/** What operators want of a worker. */
export type Controls = {
  readonly isPaused: boolean;
  /** Null: as configured. */
  readonly concurrency: number | null;
  /** It was drained after its start: it should finish and end. */
  readonly isDrained: boolean;
};

export type Control = { readonly target: string; readonly isPaused: boolean; readonly concurrency: number | null };

export type ControlKind = 'pause' | 'resume' | 'concurrency' | 'drain';
