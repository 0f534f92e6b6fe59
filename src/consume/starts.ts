import type { EventId } from '../event/event.ts';
import { faultOf } from '../event/fault.ts';
import { hold } from '../runtime/hold.ts';
import type { Logger } from '../runtime/log.ts';
import type { Running } from './in-flight.ts';
import type { StartSteps } from './ports.ts';

/**
 * Counts the starts of redelivered events in their rows, before they run. A start that kills its process stays counted;
 * every other one is taken back, or reset to 0 by settling. So the count says how many processes died with the event;
 * lost channels and connections do not change it.
 */
export type Starts = {
  /** Waits while the database is away. @throws {PipelineError} transient. */
  count(eventId: EventId, running: Running, delivery: { readonly live: boolean }): Promise<void>;
  /**
   * Never throws. A start that could not be taken back sends the event through the quarantine once more, and has no
   * other effect.
   */
  takeBack(running: Running): Promise<void>;
};

export function createStarts(options: {
  readonly steps: StartSteps;
  readonly giveUp: AbortSignal;
  readonly log: Logger;
}): Starts {
  const { steps, log } = options;

  /** Repeats a step while the database is away. */
  function holding(step: () => Promise<void>, what: string): Promise<void> {
    return hold(step, {
      mayPass: (error) => faultOf(error) === 'transient',
      giveUp: options.giveUp,
      onWait: (error, waitMs) => log.warn({ err: error, waitMs }, `the database is away; ${what}`),
    });
  }

  async function takeBack(running: Running): Promise<void> {
    const { eventId, counting } = running;
    if (counting === null || eventId === null) return;
    running.counting = null;
    try {
      await counting;
      await holding(() => steps.uncountStart(eventId), 'taking a start back later');
    } catch (error) {
      log.debug({ err: error, event_id: eventId }, 'a start stays counted');
    }
  }

  return {
    async count(eventId, running, delivery) {
      running.counting = holding(() => steps.countStart(eventId), 'holding the delivery');
      await running.counting;
      // Its channel was lost meanwhile, and `onChannelLost` will not be called for it again.
      if (!delivery.live) void takeBack(running);
    },
    takeBack,
  };
}
