import { Router } from 'express';
import { type Operation, Problem, sendJson } from '../runtime/http/index.ts';
import type { Document } from './document.ts';

/** `/`, the document of the API, and its pages. Made when they are first asked for, and then kept. */
export function contractRouter(operations: readonly Operation[], version: string): Router {
  const router = Router();
  let document: Promise<Document> | null = null;
  let page: string | null = null;
  const made = () => {
    document ??= import('./document.ts')
      .then(({ createContract }) => createContract(operations, version))
      .catch((error: unknown) => {
        document = null; // the next request tries again
        throw error;
      });
    return document;
  };

  router.get('/', (_request, response) => {
    const links = {
      accept: '/v1/conversations/end',
      conversations: '/v1/conversations',
      reference: '/docs',
      contract: '/openapi.json',
      health: '/health/detailed',
      ready: '/readyz',
    };
    sendJson(response, 200, { name: 'afterword', version, links });
  });

  router.get('/openapi.json', async (_request, response) => {
    sendJson(response, 200, await made());
  });

  router.get('/docs', async (_request, response) => {
    const { pagePolicy, renderPage } = await import('./page.ts');
    const contract = await made();
    page ??= renderPage(contract);
    response.setHeader('Content-Security-Policy', pagePolicy);
    response.type('html').send(page);
  });

  router.get('/docs/problems/:code', async (request, response) => {
    const { findProblemPage } = await import('./problem-page.ts');
    const text = await findProblemPage(request.params.code);
    if (text === null) throw new Problem(404, 'no_such_problem', 'no problem has this code');
    response.type('text/plain; charset=utf-8').send(text);
  });

  return router;
}
