export { type Heartbeat, lostAfterMs, startHeartbeat } from './heartbeat.ts';
export type { SeenMember } from './ports.ts';
