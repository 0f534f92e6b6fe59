export { type Found, findServers } from './find.ts';
export { freePort } from './process.ts';
export type { Broker, Kind, Say, Server } from './server.ts';
