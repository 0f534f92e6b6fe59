export { createErase, type Erase } from './erase.ts';
export { erasureOperations } from './operations.ts';
export { erasureRouter } from './router.ts';
