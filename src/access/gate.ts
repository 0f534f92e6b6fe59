import { type Request, type Response, Router } from 'express';
import { LRUCache } from 'lru-cache';
import { allowedMethods } from '../runtime/http/allowed-methods.ts';
import { anybody, type Scope, setCaller } from '../runtime/http/caller.ts';
import { Problem } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import type { Keyring, Known, Refusal } from './keyring.ts';
import type { Limits } from './limits.ts';

/** An endpoint, and the scope it needs; null: none, not even a key. */
type Guarded = { readonly method: string; readonly path: string; readonly scope: Scope | null };

/** A refused key is logged once in this time, however often it is sent. */
const sayEveryMs = 60_000;

/**
 * Lets a request pass that has a key with the scope of its endpoint. Whatever is not among the endpoints is not there
 * without the scope `admin`: one that was forgotten here is closed, not open.
 */
export function gateRouter(options: {
  readonly keyring: Keyring;
  readonly limits: Limits;
  readonly endpoints: readonly Guarded[];
  /** `KEY_REQUESTS_PER_MINUTE`, for keys without a limit of their own; 0: none. */
  readonly perMinute: number;
  readonly log: Logger;
}): Router {
  const { keyring, limits, log } = options;
  const router = Router();
  const said = new LRUCache<string, true>({ max: 1_000, ttl: sayEveryMs });
  const passed = new WeakSet<Request>();
  /** Whose long answers end when there are keys. */
  const openCaller = { ...anybody, isValid: () => keyring.isOpen };

  /** Something to wait for only if the key was not seen before, or its limit must be asked for. */
  function check(scope: Scope, request: Request, response: Response): Promise<void> | void {
    if (keyring.isOpen) {
      setCaller(response, openCaller);
      return;
    }
    const found = identify(request, response);
    return found instanceof Promise
      ? found.then((known) => admit(known, scope, response))
      : admit(found, scope, response);
  }

  function admit({ key, caller }: Known, scope: Scope, response: Response): Promise<void> | void {
    const perMinute = key.perMinute ?? options.perMinute;
    if (perMinute === 0) setCaller(response, caller);
    else {
      const charge = async (requests: number) => limits.take(response, 'key', key.name, perMinute, requests);
      setCaller(response, { ...caller, charge });
    }
    if (!caller.may(scope)) {
      response.setHeader('WWW-Authenticate', `Bearer error="insufficient_scope", scope="${scope}"`);
      throw new Problem(403, 'scope_missing', `this needs a key with the scope "${scope}"`);
    }
    return limits.take(response, 'key', key.name, perMinute);
  }

  function identify(request: Request, response: Response): Known | Promise<Known> {
    const given = request.headers.authorization;
    if (given === undefined) {
      response.setHeader('WWW-Authenticate', 'Bearer realm="afterword"');
      throw new Problem(401, 'key_missing', 'send an API key as a bearer token (Authorization: Bearer afw_live_…)');
    }
    const token = /^Bearer +([^\s]+)$/i.exec(given)?.[1];
    const found = token === undefined ? notBearer : keyring.find(token);
    return found instanceof Promise
      ? found.then((answer) => knownOr(answer, request, response))
      : knownOr(found, request, response);
  }

  function knownOr(found: Known | Refusal, request: Request, response: Response): Known {
    if ('key' in found) return found;
    // Neither the token nor any part of it: it may be one of somewhere else.
    const id = `${found.code} ${found.why ?? ''} ${request.ip}`;
    if (!said.has(id)) {
      said.set(id, true);
      log.warn(
        { code: found.code, detail: found.detail, why: found.why, from: request.ip },
        'a request with a bad API key was refused',
      );
    }
    response.setHeader('WWW-Authenticate', `Bearer error="invalid_token", error_description="${found.code}"`);
    throw new Problem(401, found.code, found.detail);
  }

  // Of `/v1/conversations/export` and `/v1/conversations/:id`, the first one decides.
  const literalFirst = options.endpoints.toSorted(
    (a, b) => Number(a.path.includes(':')) - Number(b.path.includes(':')),
  );
  for (const { method, path, scope } of literalFirst)
    router[method.toLowerCase() as 'get' | 'post'](path, async (request, response, next) => {
      if (passed.has(request)) return next();
      if (scope !== null) {
        const checked = check(scope, request, response);
        if (checked) await checked;
      }
      passed.add(request);
      // Who has left while the gate looked would leave behind what is held until the answer is closed.
      if (!response.destroyed) next();
    });
  router.use(async (request, response, next) => {
    if (passed.has(request) || keyring.isOpen) return next();
    const { caller } = await identify(request, response);
    if (!caller.may('admin')) throw notHere(request, response);
    setCaller(response, caller);
    next();
  });

  /** As it is answered behind the gate, where an endpoint that was forgotten here might be. */
  function notHere(request: Request, response: Response): Problem {
    const allowed = allowedMethods([router], request.path);
    if (allowed.length === 0)
      return new Problem(404, 'no_such_endpoint', `there is no ${request.method} ${request.path}`);
    response.setHeader('Allow', allowed.join(', '));
    const detail = `${request.path} takes ${allowed.join(', ')}, not ${request.method}`;
    return new Problem(405, 'method_not_allowed', detail);
  }

  return router;
}

const notBearer: Refusal = { code: 'key_invalid', detail: 'the Authorization header must be "Bearer" and an API key' };
