export { backoffMs, jitter } from './backoff.ts';
export { createCalendar } from './friendship.ts';
export { differences, rebuild } from './rebuild.ts';
export { createSettler } from './settler.ts';
