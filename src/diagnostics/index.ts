export { createProfiler, type Profiler } from './cpu-profile.ts';
export { followProfileRequests } from './follow-requests.ts';
export { diagnosticsOperations } from './operations.ts';
export { profileRoutes } from './routes.ts';
