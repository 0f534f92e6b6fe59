export { createLoadClient } from './client.ts';
export { type Profile, type ProfileName, profiles } from './profiles.ts';
export { createRecorder, type Operation, type Sample } from './recorder.ts';
export { describeRun, htmlReport, liveLine } from './report.ts';
export { exceeded, parseThreshold, type Threshold } from './thresholds.ts';
export { closedLoop, openLoop } from './users.ts';
