export { createProfiler, type Profiler } from './cpu-profile.ts';
export { followWishes } from './follow-wishes.ts';
export { profileRoutes } from './routes.ts';
