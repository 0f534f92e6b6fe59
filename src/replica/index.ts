export { type ReadFrom, readFrom } from './read-from.ts';
export { type ReplicaWatch, watchLag } from './watch-lag.ts';
