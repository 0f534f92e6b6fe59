export { backoffMs, jitter } from './backoff.ts';
export { createCalendar } from './friendship.ts';
export { createSettler } from './settler.ts';
