import { createServer, type Server } from 'node:http';

/** What the process answers besides its metrics. */
export type Probes = {
  /** Cheap, and without a look at other servers. */
  readonly ready: () => boolean;
};

/**
 * Serves `/metrics`, `/healthz` and `/readyz` on a port of its own, for processes that have no other and for those who
 * keep metrics apart from the API.
 *
 * @throws the system's error if the port cannot be had.
 */
export async function serveMetrics(
  at: { readonly host: string; readonly port: number },
  metrics: { render(): Promise<string>; readonly contentType: string },
  probes: Probes,
): Promise<Server> {
  const server = createServer(async (request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else if (path === '/metrics') {
      const text = await metrics.render().catch(() => null);
      if (text === null) response.writeHead(500).end();
      else response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
    } else if (path === '/healthz') {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"ok"}\n');
    } else if (path === '/readyz') {
      const isReady = probes.ready();
      response
        .writeHead(isReady ? 200 : 503, { 'content-type': 'application/json' })
        .end(`{"status":"${isReady ? 'ready' : 'not ready'}"}\n`);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => resolve());
  });
  server.unref();
  return server;
}
