import type { ChannelModel } from 'amqplib';
import { faultOf, PipelineError } from '../event/fault.ts';
import type { Logger } from '../runtime/log.ts';
import { aborted } from '../runtime/shutdown.ts';
import { telemetry } from '../runtime/telemetry.ts';
import { createBackoff, pause, settlesWithin } from '../runtime/wait.ts';
import { connectBroker } from './connect.ts';

/** A connection that is restored when it is lost. Each new session starts with nothing left over from the last. */
type Link = {
  /** Ends the loop and the connection. Channels must be closed before. */
  close(): Promise<void>;
  /**
   * Resolves at the first working session.
   * @throws {PipelineError} if within `startDeadlineMs` the broker refused the login, kept refusing the virtual host,
   *   or had a different topology. Later this is only logged: a process that has run for hours should not end because
   *   the broker came back with another configuration.
   */
  readonly firstSession: Promise<void>;
};

/**
 * Sets everything up on a new connection (declarations, channel, prefetch, consumer) and resolves when that is done.
 * Called again after each reconnect, and after `restart`, which reports that a channel died while its connection lives.
 */
type Session = (model: ChannelModel, restart: (reason: string) => void) => Promise<void>;

/** While a broker starts, it refuses its virtual hosts for a moment. */
const vhostMayStartMs = 10_000;
/** After a session that lived this long, the reconnect delay starts again from the shortest. */
const stableMs = 10_000;

/**
 * Keeps one broker connection up: connects, sets up the session, and repeats both after a growing, jittered delay
 * (0.2 s to 10 s) when the connection or the session is lost. amqplib's `recovery` is not used: it restores only the
 * connection, so channels, prefetch, consumers and unconfirmed publishes would have to be rebuilt anyway
 * (docs/decisions/0005).
 */
export function createLink(options: {
  /** For metrics. */
  kind: 'consume' | 'publish';
  url: string;
  name: string;
  log: Logger;
  startDeadlineMs: number;
  session: Session;
}): Link {
  const { log, name } = options;
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  first.promise.catch(() => {});
  const startedAt = performance.now();
  let model: ChannelModel | undefined;
  let vhostRefusedAt: number | null = null;

  /** @returns true if the broker answered with a refusal; false if it could not be reached. */
  function noteRefusal(error: unknown): boolean {
    const now = performance.now();
    const ofVhost = error instanceof PipelineError && error.code === 'VHOST_REFUSED';
    vhostRefusedAt = ofVhost ? (vhostRefusedAt ?? now) : null;
    const isFinal =
      faultOf(error) === 'permanent' || (vhostRefusedAt !== null && now - vhostRefusedAt >= vhostMayStartMs);
    if (isFinal && now - startedAt <= options.startDeadlineMs) first.reject(error);
    return ofVhost || isFinal;
  }

  async function loop(): Promise<void> {
    const backoff = createBackoff(200, 10_000);
    while (!stop.signal.aborted) {
      const lost = new AbortController();
      try {
        model = await connectBroker(options.url, name);
        model.on('error', (error) => log.warn({ err: error, link: name }, 'broker connection failed'));
        model.on('close', () => lost.abort('connection closed'));
        if (stop.signal.aborted) break;
        await Promise.race([
          options.session(model, (reason) => lost.abort(reason)),
          aborted(lost.signal).then(() => Promise.reject(new Error('connection lost during set-up'))),
        ]);
        first.resolve();
        const since = performance.now();
        log.info({ link: name }, 'broker connected');
        telemetry.brokerSession.tell({ link: options.kind, isUp: true });
        await aborted(AbortSignal.any([lost.signal, stop.signal]));
        telemetry.brokerSession.tell({ link: options.kind, isUp: false });
        // A session that is set up without error and dies at its first use must not make a hot loop.
        if (performance.now() - since > stableMs) backoff.reset();
        if (!stop.signal.aborted) log.warn({ link: name, reason: String(lost.signal.reason) }, 'broker session lost');
      } catch (error) {
        if (stop.signal.aborted) break;
        if (noteRefusal(error))
          log.error({ link: name, reason: (error as Error).message }, 'the broker refuses us, trying again');
        else log.warn({ err: error, link: name }, 'broker not reachable, trying again');
      }
      await end(model);
      model = undefined;
      await pause(backoff.next(), stop.signal);
    }
    await end(model);
  }

  const running = loop();
  return {
    firstSession: first.promise,
    async close() {
      stop.abort();
      await end(model);
      // A pending connect attempt has its own time limit, which shutdown should not wait for.
      await settlesWithin(running, 1_000);
    },
  };
}

/** A broker that does not answer the close must not delay shutdown. */
async function end(model: ChannelModel | undefined): Promise<void> {
  if (model)
    await settlesWithin(
      model.close().catch(() => {}),
      2_000,
    );
}
