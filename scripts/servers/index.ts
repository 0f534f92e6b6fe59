export { images, LocalRabbitMq } from './docker.ts';
export { findServers } from './find.ts';
export { startPrivateBroker } from './private-broker.ts';
export { startPrivateDatabase } from './private-database.ts';
export { startPrivateRedis } from './private-redis.ts';
export { probes } from './probe.ts';
export { freePort } from './process.ts';
export type { Broker, Redis, Say, Server } from './server.ts';
