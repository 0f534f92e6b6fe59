export { type Distribution, distributionOf } from './distribution.ts';
export { scoreOldEvents } from './score-old-events.ts';
