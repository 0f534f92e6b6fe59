import type { Config } from '../config.ts';
import type { NoticeType } from '../event/notice.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { Problem, parseBody } from '../runtime/http/index.ts';
import { UsageError } from '../runtime/start-error.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import { openEndpoints } from '../start/webhooks.ts';
import { plain, printJson, printLine, printTable } from '../terminal/print.ts';
import {
  type Endpoints,
  newEndpoint,
  presentDelivery,
  presentEndpoint,
  type ReplayPosition,
} from '../webhooks/index.ts';

const graceMs = 86_400_000;

export async function runWebhooksCreate(
  config: Config,
  url: string,
  options: {
    readonly types: readonly NoticeType[];
    readonly user?: string;
    readonly description?: string;
    readonly json: boolean;
  },
): Promise<number> {
  return withEndpoints(config, async (endpoints) => {
    const { types, user, description } = options;
    const given = parseBody(newEndpoint, { url, types, user, description });
    const { endpoint, secret } = await endpoints.create(
      { url, types: given.types, boundTo: given.user ?? null, description: given.description ?? null },
      operatorName(),
    );
    if (options.json) printJson({ ...presentEndpoint(endpoint), secret });
    else tellSecret(endpoint.endpointId, secret);
    return exitCodes.ok;
  });
}

export async function runWebhooksList(config: Config, options: { readonly json: boolean }): Promise<number> {
  return withEndpoints(config, async (endpoints) => {
    const all = await endpoints.list();
    if (options.json) printJson({ webhooks: all.map(presentEndpoint) });
    else if (all.length === 0) printLine('no endpoints: `afterword webhooks create URL` registers one');
    else
      printTable(
        [
          { head: 'ID' },
          { head: 'URL', min: 16 },
          { head: 'TYPES', min: 10, rank: 3 },
          { head: 'USERS', min: 5, rank: 2 },
          { head: 'STATE' },
          { head: 'FAILING SINCE', rank: 4 },
          { head: 'WHY', min: 8, rank: 5 },
        ],
        all.map((one) => [
          one.endpointId,
          one.url,
          one.types.join(','),
          one.boundTo ?? 'all',
          one.state,
          one.failingSince ?? '',
          one.disabledWhy ?? '',
        ]),
      );
    return exitCodes.ok;
  });
}

export async function runWebhooksAct(
  config: Config,
  what: 'enable' | 'disable' | 'delete' | 'rotate' | 'test',
  id: string,
  options: { readonly json: boolean },
): Promise<number> {
  return withEndpoints(config, async (endpoints) => {
    const actor = operatorName();
    switch (what) {
      case 'enable':
      case 'disable': {
        const state = what === 'enable' ? 'enabled' : 'disabled';
        const endpoint = await endpoints.change(id, { state }, actor);
        if (options.json) printJson(presentEndpoint(endpoint));
        else printLine(`${plain(id)} is ${state}`);
        return exitCodes.ok;
      }
      case 'delete':
        await endpoints.remove(id, actor);
        if (options.json) printJson({ deleted: id });
        else printLine(`${plain(id)} is deleted; what was due to it is not sent`);
        return exitCodes.ok;
      case 'rotate': {
        const secret = await endpoints.rotate(id, graceMs, actor);
        if (options.json) printJson({ secret });
        else tellSecret(id, secret);
        return exitCodes.ok;
      }
      case 'test': {
        const { status, error, ms } = await endpoints.test(id);
        if (options.json) printJson({ delivered: error === null, status, error, ms });
        else
          printLine(`${error === null ? 'delivered' : `not delivered: ${error}`} (${status ?? 'no answer'}, ${ms} ms)`);
        return error === null ? exitCodes.ok : exitCodes.failed;
      }
    }
  });
}

export async function runWebhooksDeliveries(
  config: Config,
  id: string,
  options: { readonly state?: 'PENDING' | 'DELIVERED' | 'FAILED'; readonly limit: number; readonly json: boolean },
): Promise<number> {
  return withEndpoints(config, async (endpoints) => {
    const filter = options.state === undefined ? {} : { state: options.state };
    const all = await endpoints.deliveries(id, filter, options.limit);
    if (options.json) printJson({ deliveries: all.map(presentDelivery) });
    else if (all.length === 0) printLine('no deliveries');
    else
      printTable(
        [
          { head: 'ID' },
          { head: 'TYPE' },
          { head: 'EVENT', min: 8, rank: 2 },
          { head: 'STATE' },
          { head: 'ATTEMPTS' },
          { head: 'LAST ANSWER', min: 10, rank: 4 },
          { head: 'NEXT', rank: 3 },
          { head: 'CREATED', rank: 5 },
        ],
        all.map((one) => {
          const last = one.attempts.at(-1);
          const answer = last === undefined ? '' : `${last.status ?? last.error ?? ''} (${last.ms} ms)`;
          return [
            String(one.deliveryId),
            one.type,
            one.eventId,
            one.state,
            one.attemptCount,
            answer,
            one.nextAttemptAt ?? '',
            one.createdAt,
          ];
        }),
      );
    return exitCodes.ok;
  });
}

export async function runWebhooksReplay(
  config: Config,
  id: string,
  deliveries: readonly number[],
  options: { readonly failed: boolean; readonly since?: Date; readonly until?: Date; readonly json: boolean },
): Promise<number> {
  return withEndpoints(config, async (endpoints) => {
    const { failed, since, until } = options;
    const selection = {
      ...(deliveries.length > 0 && { ids: deliveries }),
      ...(failed && { state: 'FAILED' as const }),
      ...(since && { since }),
      ...(until && { until }),
    };
    let replayed = 0;
    // What fails again meanwhile, or is closed only now, is not taken twice.
    const end = until ?? new Date();
    for (let after: ReplayPosition | null | undefined; after !== null; ) {
      const given = { ...selection, ...(deliveries.length === 0 && { until: end }), ...(after && { after }) };
      const done = await endpoints.replay(id, given, operatorName());
      replayed += done.replayed;
      after = done.next;
    }
    if (options.json) printJson({ replayed });
    else printLine(`${replayed} ${replayed === 1 ? 'delivery is' : 'deliveries are'} due again`);
    return exitCodes.ok;
  });
}

/** The secret alone goes to stdout. */
function tellSecret(id: string, secret: string): void {
  process.stderr.write(`endpoint ${plain(id)}. Its secret is shown only now:\n`);
  printLine(secret);
}

async function withEndpoints(config: Config, work: (endpoints: Endpoints) => Promise<number>): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const { endpoints } = stack.adopt(openEndpoints(config, store), (e) => e.close());
  try {
    return await work(endpoints); // before the store closes
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const [first] = error.errors ?? [];
    throw new UsageError(
      first === undefined ? error.message : `${error.message}: ${first.pointer || 'it'} ${first.detail}`,
      {
        cause: error,
      },
    );
  }
}
