/** `slow`: it did not answer in time, but did not long ago. */
export type DatabaseState = 'up' | 'slow' | 'down';

/** A database that answered this recently is not asked again: probes come from several places at once. */
const freshMs = 1_000;
/** A probe is not kept waiting any longer. */
const answerMs = 1_000;
/** One that has been silent for this long is down. Load balancers should not empty a fleet for a slow second. */
const silentMs = 10_000;

/**
 * Whether the database takes writes, for probes: cheap, in time, and without flapping. A database that refuses is down
 * at once; one that is slow is only slow, until it has been so for ten seconds.
 *
 * @param options.isSilence  the probe failed because there was no answer.
 */
export function createReadiness(options: {
  readonly probe: () => Promise<void>;
  readonly isSilence: (error: unknown) => boolean;
  readonly now?: () => number;
}): () => Promise<DatabaseState> {
  const now = options.now ?? (() => performance.now());
  let upAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<DatabaseState> | null = null;

  const silence = (): DatabaseState => (now() - upAt < silentMs ? 'slow' : 'down');

  function ask(): Promise<DatabaseState> {
    asking ??= options
      .probe()
      .then(
        () => {
          upAt = now();
          return 'up' as const;
        },
        (error: unknown) => (options.isSilence(error) ? silence() : 'down'),
      )
      .finally(() => {
        asking = null;
      });
    return asking;
  }

  return async () => {
    if (now() - upAt < freshMs) return 'up';
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<DatabaseState>((resolve) => {
      timer = setTimeout(() => resolve(silence()), answerMs);
    });
    return Promise.race([ask(), late]).finally(() => clearTimeout(timer));
  };
}
