import { Router } from 'express';
import { sendJson } from '../runtime/http/index.ts';

/** `/`: what this service is and where to look. */
export function welcomeRouter(version: string): Router {
  const links = {
    accept: '/v1/conversations/end',
    conversations: '/v1/conversations',
    health: '/health/detailed',
    ready: '/readyz',
  };
  return Router().get('/', (_request, response) => {
    sendJson(response, 200, { name: 'afterword', version, links });
  });
}
