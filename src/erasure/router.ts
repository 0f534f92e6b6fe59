import { Router } from 'express';
import { callerOf, requireUser, sendJson } from '../runtime/http/index.ts';
import type { Erase } from './erase.ts';

export function erasureRouter(erase: Erase): Router {
  const router = Router();
  router.delete('/v1/users/:id', async (request, response) => {
    const { id } = request.params;
    const caller = callerOf(response);
    requireUser(caller, id);
    const { conversations, sessions, deadLetters } = await erase(id, caller.name);
    sendJson(response, 200, { erased: { conversations, sessions, dead_letters: deadLetters } });
  });
  return router;
}
