import type { NoticeType } from '../event/notice.ts';
import type { Action } from '../operate/ports.ts';
import type {
  Delivery,
  DeliveryState,
  Endpoint,
  EndpointState,
  EndpointStore,
  Replayed,
  ReplaySelection,
} from '../webhooks/ports.ts';
import { recordAction } from './actions.ts';
import { type Connection, inTransaction, withConnection } from './connection.ts';
import type { Store } from './open-store.ts';
import { attemptsIn, oldSecretsIn } from './webhook-deliveries.ts';

type Row = {
  endpoint_id: string;
  url: string;
  description: string | null;
  types: string;
  bound_to: string | null;
  state: EndpointState;
  disabled_why: string | null;
  failing_since: Date | null;
  created_at: Date;
};

const columns = 'endpoint_id, url, description, types, bound_to, state, disabled_why, failing_since, created_at';

const mostOldSecrets = 4;

/** Endpoints are never deleted: their deliveries name them. */
export function endpointStore(store: Store, deadlineMs: number): EndpointStore {
  const find = async (connection: Connection, id: string, lock = ''): Promise<Endpoint | null> => {
    const [row] = await connection.query<Row[]>(
      `SELECT ${columns} FROM webhook_endpoints WHERE endpoint_id = ? AND state <> 'deleted' ${lock}`,
      [id],
    );
    return row === undefined ? null : endpointIn(row);
  };
  /** Does something to an endpoint that is there, and records it. */
  const act = <T>(
    id: string,
    action: { readonly kind: Action['kind']; readonly value?: string; readonly actor: string },
    work: (connection: Connection) => Promise<T>,
    lock: 'FOR UPDATE' | '' = 'FOR UPDATE',
  ): Promise<T | null> =>
    inTransaction(store, deadlineMs, async (connection) => {
      if ((await find(connection, id, lock)) === null) return null;
      const result = await work(connection);
      await recordAction(connection, { ...action, target: id, value: action.value ?? null });
      return result;
    });

  return {
    create: (given, actor) =>
      inTransaction(store, deadlineMs, async (connection) => {
        await connection.query(
          `INSERT INTO webhook_endpoints
             (endpoint_id, url, description, types, bound_to, secret, state, created_at, updated_at)
           VALUES (?, ?, ?, ?, ?, ?, 'enabled', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))`,
          [given.endpointId, given.url, given.description, given.types.join(','), given.boundTo, given.secret],
        );
        await recordAction(connection, {
          actor,
          kind: 'webhook-create',
          target: given.endpointId,
          value: new URL(given.url).origin,
        });
        return (await find(connection, given.endpointId)) as Endpoint;
      }),
    list: () =>
      withConnection(store, deadlineMs, async (connection) => {
        const rows = await connection.query<Row[]>(
          `SELECT ${columns} FROM webhook_endpoints WHERE state <> 'deleted' ORDER BY created_at, endpoint_id`,
        );
        return rows.map(endpointIn);
      }),
    find: (id) => withConnection(store, deadlineMs, (connection) => find(connection, id)),
    change: (id, change, actor) =>
      act(id, { kind: 'webhook-change', value: Object.keys(change).join(','), actor }, async (connection) => {
        const { url, description, types, state } = change;
        const set = [
          ...(url === undefined ? [] : [['url = ?', url]]),
          ...(description === undefined ? [] : [['description = ?', description]]),
          ...(types === undefined ? [] : [['types = ?', types.join(',')]]),
          ...(state === undefined ? [] : [['state = ?', state]]),
        ];
        // Enabling an endpoint forgets why it was disabled; what is due is sent.
        const forgotten = state === undefined ? '' : ', disabled_why = NULL, failing_since = NULL';
        const changes = set.map(([sql]) => `, ${sql}`).join('');
        await connection.query(
          `UPDATE webhook_endpoints SET updated_at = UTC_TIMESTAMP(3)${forgotten}${changes}
           WHERE endpoint_id = ?`,
          [...set.map(([, value]) => value), id],
        );
        return (await find(connection, id)) as Endpoint;
      }),
    remove: async (id, actor) =>
      (await act(id, { kind: 'webhook-delete', actor }, async (connection) => {
        // What is due to it stays so, and nobody sends it.
        await connection.query(
          `UPDATE webhook_endpoints
           SET state = 'deleted', secret = '', old_secrets = NULL, updated_at = UTC_TIMESTAMP(3)
           WHERE endpoint_id = ?`,
          [id],
        );
        return true;
      })) ?? false,
    rotate: async (id, secret, graceMs, actor) =>
      (await act(id, { kind: 'webhook-rotate', actor }, async (connection) => {
        const [row] = await connection.query<SecretsRow[]>(
          'SELECT secret, old_secrets FROM webhook_endpoints WHERE endpoint_id = ?',
          [id],
        );
        const before = row === undefined ? [] : [{ secret: row.secret, until: Date.now() + graceMs }];
        // A rotation whose answer was lost is repeated: the secret that the receiver knows must go on signing.
        const old = [...before, ...oldSecretsIn(row?.old_secrets ?? null)].slice(0, mostOldSecrets);
        await connection.query(
          `UPDATE webhook_endpoints SET secret = ?, old_secrets = ?, updated_at = UTC_TIMESTAMP(3)
           WHERE endpoint_id = ?`,
          [secret, graceMs === 0 ? null : JSON.stringify(old), id],
        );
        return true;
      })) ?? false,
    secrets: (id) =>
      withConnection(store, deadlineMs, async (connection) => {
        const [row] = await connection.query<SecretsRow[]>(
          "SELECT secret, old_secrets FROM webhook_endpoints WHERE endpoint_id = ? AND state <> 'deleted'",
          [id],
        );
        return row === undefined ? null : [row.secret, ...oldSecretsIn(row.old_secrets).map((old) => old.secret)];
      }),
    deliveries: (id, { state, before }, limit) =>
      withConnection(store, deadlineMs, async (connection) => {
        const rows = await connection.query<DeliveryRow[]>(
          `SELECT delivery_id, endpoint_id, event_id, type, state, attempt_count, next_attempt_at, attempts, created_at,
             closed_at
           FROM webhook_deliveries
             FORCE INDEX (${state === undefined ? 'ix_webhook_deliveries_list' : 'ix_webhook_deliveries_state'})
           WHERE endpoint_id = ? ${state === undefined ? '' : 'AND state = ?'} AND delivery_id < ?
           ORDER BY delivery_id DESC LIMIT ?`,
          [id, ...(state === undefined ? [] : [state]), before ?? 2 ** 53 - 1, limit],
        );
        return rows.map(deliveryIn);
      }),
    replay: (id, selection, limit, actor) =>
      act(
        id,
        { kind: 'webhook-replay', value: selection.state ?? `${selection.ids?.length ?? 'since'}`, actor },
        (connection) => replay(connection, id, selection, limit),
        // Attempts change the endpoint meanwhile, and should not wait for ten thousand rows.
        '',
      ),
  };
}

/** In the order of their time, so that a long past is not read for a short present; or else of their ids. */
async function replay(
  connection: Connection,
  endpointId: string,
  { ids, state, since, until, after }: ReplaySelection,
  limit: number,
): Promise<Replayed> {
  const states = state === undefined ? ['DELIVERED', 'FAILED'] : [state];
  const isByTime = since !== undefined;
  const from = isByTime && after !== undefined && after.createdAt > since ? after.createdAt : since;
  const conditions: [string, unknown[]][] = [
    ['state IN (?)', [states]],
    ...(ids === undefined ? [] : [['delivery_id IN (?)', [ids]] satisfies [string, unknown[]]]),
    ...(from === undefined ? [] : [['created_at >= ?', [from]] satisfies [string, unknown[]]]),
    ...(until === undefined ? [] : [['created_at < ?', [until]] satisfies [string, unknown[]]]),
    ...(after === undefined
      ? []
      : [
          (isByTime
            ? ['(created_at > ? OR delivery_id > ?)', [after.createdAt, after.deliveryId]]
            : ['delivery_id > ?', [after.deliveryId]]) satisfies [string, unknown[]],
        ]),
  ];
  const index =
    ids !== undefined ? 'PRIMARY' : isByTime ? 'ix_webhook_deliveries_created' : 'ix_webhook_deliveries_state';
  const found = await connection.query<{ delivery_id: number; created_at: Date }[]>(
    `SELECT delivery_id, created_at FROM webhook_deliveries FORCE INDEX (${index})
     WHERE endpoint_id = ? AND ${conditions.map(([sql]) => sql).join(' AND ')}
     ORDER BY ${isByTime ? 'created_at, delivery_id' : 'delivery_id'} LIMIT ?`,
    [endpointId, ...conditions.flatMap(([, values]) => values), limit],
  );
  const last = found.at(-1);
  if (last === undefined) return { replayed: 0, next: null };
  const { affectedRows } = await connection.query<{ affectedRows: number }>(
    `UPDATE webhook_deliveries SET state = 'PENDING', attempt_count = 0, next_attempt_at = UTC_TIMESTAMP(3),
       closed_at = NULL
     WHERE delivery_id IN (?) AND state IN (?)`,
    [found.map((row) => row.delivery_id), states],
  );
  const next = found.length < limit ? null : { createdAt: last.created_at, deliveryId: Number(last.delivery_id) };
  return { replayed: affectedRows, next };
}

type SecretsRow = { secret: string; old_secrets: string | null };

type DeliveryRow = {
  delivery_id: number;
  endpoint_id: string;
  event_id: string;
  type: NoticeType;
  state: DeliveryState;
  attempt_count: number;
  next_attempt_at: Date | null;
  attempts: string | null;
  created_at: Date;
  closed_at: Date | null;
};

function endpointIn(row: Row): Endpoint {
  return {
    endpointId: row.endpoint_id,
    url: row.url,
    description: row.description,
    types: row.types.split(',') as NoticeType[],
    boundTo: row.bound_to,
    state: row.state,
    disabledWhy: row.disabled_why,
    failingSince: row.failing_since,
    createdAt: row.created_at,
  };
}

function deliveryIn(row: DeliveryRow): Delivery {
  return {
    deliveryId: Number(row.delivery_id),
    endpointId: row.endpoint_id,
    eventId: row.event_id,
    type: row.type,
    state: row.state,
    attemptCount: row.attempt_count,
    nextAttemptAt: row.next_attempt_at,
    attempts: attemptsIn(row.attempts),
    createdAt: row.created_at,
    closedAt: row.closed_at,
  };
}
