import type { Logger } from './log.ts';

/**
 * Turns the process's signals into one AbortController, whose signal everything waits on.
 *
 * The first SIGTERM or SIGINT aborts it, and the caller drains. A second one ends the process at once with exit code
 * 128 + signal number, as shells report it. A process started with an IPC channel (by `afterword fleet`) also drains
 * when its parent is gone, so that no orphan keeps consuming.
 *
 * @param isInGroup  of its parent, which gets what a terminal sends to both, and passes it on as a SIGTERM.
 */
export function createStop(log: Logger, isInGroup = false): AbortController {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      log.warn({ signal }, 'second signal: stopping at once');
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
    controller.abort(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', isInGroup ? () => {} : onSignal);
  if (isInGroup) process.on('SIGHUP', () => {});
  if (process.channel) {
    process.once('disconnect', () => controller.abort('parent gone'));
    // The channel only tells us whether the parent lives; it must not keep a drained process alive.
    process.channel.unref();
  }
  return controller;
}

/** Tells the process that started us, if it has a channel to us and is still there. */
export function tellParent(message: object): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/** Resolves when `signal` has fired. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
