export { sizeHtml } from './chart.ts';
export { type Check, explain, trial as describeTrial } from './explain.ts';
export type { LatencyPoint, Model, Trial } from './model.ts';
export { type Advice, advise, type Goal, type Measured, predictions, sustained, workerPoolSize } from './recommend.ts';
export { bestSetting, confirmSetting, fitModel, isWaiting, type Setting, settingsToMeasure, threadsFor } from './settings.ts';
export { escapeHtml, svgChart } from './svg-chart.ts';
