/** Why a worker takes nothing new. */
type PauseReason = 'operator' | 'memory';

/** Takes nothing while anyone wants that. */
export type Pauses = {
  pause(reason: PauseReason): Promise<void>;
  resume(reason: PauseReason): Promise<void>;
  readonly reasons: readonly PauseReason[];
};

/** @param isPaused  by an operator, from the start. */
export function createPauses(consumer: { pause(): Promise<void>; resume(): Promise<void> }, isPaused: boolean): Pauses {
  const reasons = new Set<PauseReason>(isPaused ? ['operator'] : []);
  return {
    get reasons() {
      return [...reasons];
    },
    async pause(reason) {
      reasons.add(reason);
      if (reasons.size === 1) await consumer.pause();
    },
    async resume(reason) {
      if (reasons.delete(reason) && reasons.size === 0) await consumer.resume();
    },
  };
}
