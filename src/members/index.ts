export { isAlive, isCalled, isExactly } from './find.ts';
export { type Controlled, followControls } from './follow-controls.ts';
export { type Heartbeat, startHeartbeat } from './heartbeat.ts';
export type { Control, ControlKind, Controls, MemberState, SeenMember } from './ports.ts';
export { targetOf } from './target.ts';
