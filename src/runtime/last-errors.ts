/** The last error of a kind. */
type LastError = {
  readonly code: string;
  /** What the log said about it. */
  readonly said: string;
  readonly count: number;
  readonly at: Date;
};

/** Codes may come from scorers; the one that was seen longest ago gives way. */
const most = 50;

/** Keeps the last error of each kind, for who asks how a process is. Holds codes and our own words, never text. */
export function createLastErrors(now: () => Date = () => new Date()) {
  const kinds = new Map<string, LastError>();
  return {
    note(error: unknown, said: string): void {
      const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
      const kind = typeof code === 'string' ? code : typeof name === 'string' ? name : 'UNKNOWN';
      const count = (kinds.get(kind)?.count ?? 0) + 1;
      kinds.delete(kind); // to be the newest
      kinds.set(kind, { code: kind, said, count, at: now() });
      const [oldest] = kinds.keys();
      if (kinds.size > most && oldest !== undefined) kinds.delete(oldest);
    },
    /** Newest first. */
    list: (): LastError[] => [...kinds.values()].reverse(),
  };
}

/** Of this process: what its logger has logged as a warning or worse. */
export const lastErrors = createLastErrors();
