import { Router } from 'express';
import { callerOf, jsonBody, parseBody, parseQuery, sendJson } from '../runtime/http/index.ts';
import type { Endpoints } from './endpoints.ts';
import type { ReplayPosition } from './ports.ts';
import { deliveryQuery, endpointChange, newEndpoint, replay, rotation } from './request.ts';
import { presentDelivery, presentEndpoint } from './views.ts';

const maxBodyBytes = 65_536;

/** `/v1/webhooks`: who is told of conversations that are closed. */
export function webhookRouter(endpoints: Endpoints): Router {
  const router = Router();
  const body = jsonBody(maxBodyBytes);
  const optional = jsonBody(maxBodyBytes, { optional: true });
  const idOf = (request: { params: Record<string, string | string[]> }) => String(request.params['id']);

  router.post('/v1/webhooks', ...body, async (request, response) => {
    const { user, description, ...given } = parseBody(newEndpoint, request.body);
    const { endpoint, secret } = await endpoints.create(
      { ...given, description: description ?? null, boundTo: user ?? null },
      callerOf(response).name,
    );
    response.setHeader('Location', `/v1/webhooks/${endpoint.endpointId}`);
    sendJson(response, 201, { ...presentEndpoint(endpoint), secret });
  });

  router.get('/v1/webhooks', async (_request, response) => {
    sendJson(response, 200, { webhooks: (await endpoints.list()).map(presentEndpoint) });
  });

  router.get('/v1/webhooks/:id', async (request, response) => {
    sendJson(response, 200, presentEndpoint(await endpoints.find(idOf(request))));
  });

  router.patch('/v1/webhooks/:id', ...body, async (request, response) => {
    const { description, ...rest } = parseBody(endpointChange, request.body);
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    const change = { ...given, ...(description !== undefined && { description }) };
    sendJson(response, 200, presentEndpoint(await endpoints.change(idOf(request), change, callerOf(response).name)));
  });

  router.delete('/v1/webhooks/:id', async (request, response) => {
    await endpoints.remove(idOf(request), callerOf(response).name);
    response.status(204).end();
  });

  router.post('/v1/webhooks/:id/rotate', ...optional, async (request, response) => {
    const { grace_seconds: seconds } = parseBody(rotation, request.body ?? {});
    const secret = await endpoints.rotate(idOf(request), seconds * 1_000, callerOf(response).name);
    sendJson(response, 200, { secret });
  });

  router.post('/v1/webhooks/:id/test', async (request, response) => {
    const { status, error, ms } = await endpoints.test(idOf(request));
    sendJson(response, 200, { delivered: error === null, status, error, ms });
  });

  router.get('/v1/webhooks/:id/deliveries', async (request, response) => {
    const { state, limit, cursor } = parseQuery(deliveryQuery, request.query);
    const filter = { ...(state && { state }), ...(cursor !== undefined && { before: cursor }) };
    const found = await endpoints.deliveries(idOf(request), filter, limit + 1);
    const page = found.slice(0, limit);
    const last = page.at(-1);
    sendJson(response, 200, {
      deliveries: page.map(presentDelivery),
      next_cursor: found.length > limit && last ? String(last.deliveryId) : null,
    });
  });

  router.post('/v1/webhooks/:id/replay', ...body, async (request, response) => {
    const { cursor, ...selection } = parseBody(replay, request.body);
    const given = Object.entries(selection).filter(([, value]) => value !== undefined);
    const { replayed, next } = await endpoints.replay(
      idOf(request),
      { ...Object.fromEntries(given), ...(cursor !== undefined && { after: positionIn(cursor) }) },
      callerOf(response).name,
    );
    sendJson(response, 202, { replayed, next_cursor: next && cursorOf(next) });
  });

  return router;
}

function cursorOf({ createdAt, deliveryId }: ReplayPosition): string {
  return `${createdAt.getTime()}_${deliveryId}`;
}

function positionIn(cursor: string): ReplayPosition {
  const [ms, id] = cursor.split('_');
  return { createdAt: new Date(Number(ms)), deliveryId: Number(id) };
}
