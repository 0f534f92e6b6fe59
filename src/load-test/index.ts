export { createLoadClient } from './client.ts';
export { createRecorder, type Figures, type Operation, type Sample } from './recorder.ts';
export { describeRun, htmlReport, liveLine } from './report.ts';
export { type LoadShape, type ShapeName, shapes } from './shapes.ts';
export { exceeded, parseThreshold, type Threshold } from './thresholds.ts';
export { closedLoop, openLoop } from './users.ts';
