import { Router } from 'express';
import { queryOf, type Route } from './routes.ts';

/** Routes of any process, in an API. */
export function mount(routes: readonly Route[]): Router {
  const router = Router();
  for (const { method, path, handle } of routes)
    router[method === 'GET' ? 'get' : 'post'](path, (request, response) => handle(request, response, queryOf(request)));
  return router;
}
