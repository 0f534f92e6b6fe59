import { Problem } from '../runtime/http/problem.ts';
import type { Endpoint, EndpointChange, EndpointStore, Replayed, ReplaySelection } from './ports.ts';
import type { Outcome, Send } from './send.ts';
import { newEndpointId, newSecret } from './sign.ts';
import { type Allowed, checkUrl, TargetError } from './target.ts';

/** Deliveries that one replay makes due at most. */
const mostReplayed = 10_000;
/** Each is written for each event that is closed, in the transaction that closes it. */
export const mostEndpoints = 100;
const endpointId = /^ep_[A-Za-z0-9]{12}$/;

/** What operators do with endpoints, by the API and from a shell. Everything throws {Problem}. */
export function createEndpoints(options: {
  readonly store: EndpointStore;
  readonly send: Send;
  readonly allowed: Allowed;
}) {
  const { store } = options;

  function requireUrl(url: string): void {
    try {
      checkUrl(url, options.allowed);
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      const errors = [{ pointer: '/url', detail: error.message }];
      throw new Problem(422, 'invalid_request', 'the URL cannot be used', { errors });
    }
  }

  const there = <T>(found: T | null | false): T => {
    if (found === null || found === false) throw new Problem(404, 'webhook_not_found', 'there is no such endpoint');
    return found;
  };

  const known = async (id: string) => there(endpointId.test(id) && (await store.find(id)));

  return {
    async create(given: Pick<Endpoint, 'url' | 'description' | 'types' | 'boundTo'>, actor: string) {
      requireUrl(given.url);
      const all = await store.list();
      const same = all.find((one) => one.url === given.url && one.boundTo === given.boundTo && isSame(one, given));
      // Also a repeat whose first answer was lost: two would be told everything twice.
      if (same !== undefined)
        throw new Problem(
          409,
          'webhook_exists',
          `${same.endpointId} tells this URL the same already; rotate its secret if you do not have it`,
        );
      if (all.length >= mostEndpoints)
        throw new Problem(422, 'too_many_webhooks', `there are ${mostEndpoints} endpoints already: delete one first`);
      const secret = newSecret();
      const endpoint = await store.create({ ...given, endpointId: newEndpointId(), secret }, actor);
      return { endpoint, secret };
    },
    list: () => store.list(),
    find: (id: string) => known(id),
    async change(id: string, change: EndpointChange, actor: string) {
      if (change.url !== undefined) requireUrl(change.url);
      await known(id);
      return there(await store.change(id, change, actor));
    },
    async remove(id: string, actor: string) {
      await known(id);
      there(await store.remove(id, actor));
    },
    async rotate(id: string, graceMs: number, actor: string) {
      await known(id);
      const secret = newSecret();
      there(await store.rotate(id, secret, graceMs, actor));
      return secret;
    },
    /** Sends a message now, and says how it was answered. It is not kept. */
    async test(id: string): Promise<Outcome> {
      const { url } = await known(id);
      const secrets = there(await store.secrets(id));
      const at = new Date();
      const body = JSON.stringify({ type: 'webhook.test', timestamp: at.toISOString(), data: { endpoint_id: id } });
      return options.send({ url, secrets }, { id: `msg_test_${at.getTime()}`, body });
    },
    async deliveries(id: string, filter: Parameters<EndpointStore['deliveries']>[1], limit: number) {
      await known(id);
      return store.deliveries(id, filter, limit);
    },
    async replay(id: string, selection: ReplaySelection, actor: string): Promise<Replayed> {
      await known(id);
      if (selection.ids === undefined && selection.state === undefined && selection.since === undefined)
        throw new Problem(422, 'invalid_request', 'nothing is selected', {
          errors: [{ pointer: '', detail: 'must have ids, state or since' }],
        });
      return there(await store.replay(id, selection, mostReplayed, actor));
    },
  };
}

function isSame(one: Pick<Endpoint, 'types'>, other: Pick<Endpoint, 'types'>): boolean {
  return one.types.toSorted().join() === other.types.toSorted().join();
}

export type Endpoints = ReturnType<typeof createEndpoints>;
