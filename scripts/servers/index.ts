export { images, LocalRabbitMq } from './docker.ts';
export { type Found, findServers } from './find.ts';
export { type ClusterNode, startPrivateBroker } from './private-broker.ts';
export { freePort } from './process.ts';
export type { Broker, Kind, Say, Server } from './server.ts';
