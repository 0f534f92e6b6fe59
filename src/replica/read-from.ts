import { faultOf } from '../event/fault.ts';

/** Runs a read on the replica if it is fresh enough, or else on the primary. */
export type ReadFrom<Source> = <T>(read: (source: Source) => Promise<T>) => Promise<T>;

/**
 * @param options.replica  null while it must not be asked. A read that fails there is made once more on the primary.
 * @param options.onFailure  of a read on the replica.
 */
export function readFrom<Source>(options: {
  readonly primary: Source;
  readonly replica: () => Source | null;
  readonly onFailure: () => void;
}): ReadFrom<Source> {
  return async (read) => {
    const replica = options.replica();
    if (replica === null) return read(options.primary);
    try {
      return await read(replica);
    } catch (error) {
      if (faultOf(error) !== 'transient') throw error;
      options.onFailure();
      return read(options.primary);
    }
  };
}
