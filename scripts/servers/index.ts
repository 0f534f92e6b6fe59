export { images, LocalRabbitMq } from './docker.ts';
export { findServers } from './find.ts';
export { startPrivateBroker } from './private-broker.ts';
export { freePort } from './process.ts';
export type { Broker, Redis, Say, Server } from './server.ts';
