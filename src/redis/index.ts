export { connectRedis, type RedisLink } from './connect.ts';
export { redisFacts } from './inspect.ts';
export { liveSessions } from './live-sessions.ts';
export { sharedPhonemes } from './shared-phonemes.ts';
