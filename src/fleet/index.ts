export { autoscale } from './autoscale.ts';
export { type Crew, createCrew } from './crew.ts';
export { findFleet, writePidFile } from './pid-file.ts';
export type { ScaleFacts } from './scale.ts';
export { sharesPort, startSharing } from './share-port.ts';
export { supervise } from './supervise.ts';
