export { findFleet, writePidFile } from './pid-file.ts';
export { sharesPort, startSharing } from './share-port.ts';
export { type Supervised, supervise } from './supervise.ts';
