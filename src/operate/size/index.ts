export { sizeHtml } from './chart.ts';
export { bestSetting, confirmSetting, type Setting, settingsToMeasure, threadsFor } from './choose-setting.ts';
export { explain, trial as describeTrial } from './explain.ts';
export { fewestForRate, fitModel, isWaiting, type LatencyPoint, type Scorer, type Trial } from './model.ts';
export { type Advice, advise, type Goal, type Measured, predictions, sustained, workerPoolSize } from './recommend.ts';
export { escapeHtml, svgChart } from './svg-chart.ts';
export { type Check, distrustOf, isOff, isQuiet } from './trust.ts';
