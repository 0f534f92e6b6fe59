export { contractOperations } from './operations.ts';
export { contractRouter } from './router.ts';
