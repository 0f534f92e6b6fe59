export { operateRouter } from './router.ts';
