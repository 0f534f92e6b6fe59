export { createProfiler, type Profiler } from './cpu-profile.ts';
export { followProfileRequests } from './follow-requests.ts';
export { profileRoutes } from './routes.ts';
