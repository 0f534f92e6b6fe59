import { hasEndpoints, type Store } from '../store/index.ts';
import { statementDeadlineMs as deadlineMs } from './limits.ts';

/** An endpoint is told of what is closed after this long. */
const lookMs = 2_000;

/**
 * Whether anybody wants to be told, for workers: without endpoints, closing an event costs no statement more. Looked up
 * every two seconds; while the database is away, it is as it was.
 */
export async function followEndpoints(store: Store, stop: AbortSignal): Promise<() => boolean> {
  let isWanted = await hasEndpoints(store, deadlineMs);
  const timer = setInterval(() => {
    hasEndpoints(store, deadlineMs).then(
      (found) => {
        isWanted = found;
      },
      () => {},
    );
  }, lookMs);
  timer.unref();
  stop.addEventListener('abort', () => clearInterval(timer), { once: true });
  return () => isWanted;
}
