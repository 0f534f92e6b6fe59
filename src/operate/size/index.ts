export { sizeHtml } from './chart.ts';
export { type Check, explain, trial as describeTrial } from './explain.ts';
export { fitModel, type LatencyPoint, type Trial } from './model.ts';
export {
  type Advice,
  advise,
  bestSetting,
  confirmSetting,
  type Goal,
  type Measured,
  predictions,
  type Setting,
  sustained,
  threadsFor,
  workerPoolSize,
} from './recommend.ts';
export { escapeHtml, svgChart } from './svg-chart.ts';
