export { connectRedis, type RedisLink } from './connect.ts';
export { eraseSessions } from './erase-sessions.ts';
export { redisFacts } from './inspect.ts';
export { limitStore } from './limit-store.ts';
export { liveSessions } from './live-sessions.ts';
export { sharedPhonemes } from './shared-phonemes.ts';
