import { type Lane, type LaneWeights, lanes } from '../event/lane.ts';

export type LaneRate = {
  readonly lane: Lane;
  /** Of the slots, while every lane has something to do. */
  readonly share: number;
  /** Events per second that this comes to: what a lane is sure of, however full the others are. */
  readonly drain: number;
};

/** @param drain  events per second of all workers. @param served  `WORKER_LANES`. */
export function laneRates(drain: number, weights: LaneWeights, served: readonly Lane[]): LaneRate[] {
  const own = lanes.filter((lane) => served.includes(lane));
  const sum = own.reduce((total, lane) => total + weights[lane], 0);
  return own.map((lane) => ({ lane, share: weights[lane] / sum, drain: (drain * weights[lane]) / sum }));
}
