import type { NoticeType } from '../event/notice.ts';
import type { EventView } from '../report/ports.ts';
import type { Attempt, ClaimedDelivery, DueEndpoint, Verdict } from '../webhooks/ports.ts';
import { inTransaction, withConnection } from './connection.ts';
import { eventColumns, parsed } from './events.ts';
import type { Store } from './open-store.ts';

/** Longer than an attempt can take. */
const leaseSeconds = 60;
const keptAttempts = 10;

type EndpointRow = {
  endpoint_id: string;
  url: string;
  failing_since: Date | null;
  secret: string;
  old_secrets: string | null;
};

export type OldSecret = { readonly secret: string; readonly until: number };

/** Those that still sign, newest first. */
export function oldSecretsIn(text: string | null): OldSecret[] {
  const all = text === null ? [] : (JSON.parse(text) as OldSecret[]);
  return all.filter(({ until }) => until > Date.now());
}

/** Endpoints to which something is due. */
export function findDueEndpoints(store: Store, deadlineMs: number): Promise<DueEndpoint[]> {
  return withConnection(store, deadlineMs, async (connection) => {
    const rows = await connection.query<EndpointRow[]>(
      `SELECT endpoint_id, url, failing_since, secret, old_secrets FROM webhook_endpoints w
       WHERE state = 'enabled' AND EXISTS (SELECT 1 FROM webhook_deliveries d FORCE INDEX (ix_webhook_deliveries_due)
         WHERE d.endpoint_id = w.endpoint_id AND d.next_attempt_at <= UTC_TIMESTAMP(3))`,
    );
    return rows.map((row) => ({
      endpointId: row.endpoint_id,
      url: row.url,
      failingSince: row.failing_since,
      secrets: [row.secret, ...oldSecretsIn(row.old_secrets).map(({ secret }) => secret)],
    }));
  });
}

type ClaimedRow = EventView & {
  delivery_id: number;
  type: NoticeType;
  attempt_count_of_delivery: number;
  attempts: string | null;
  created: Date;
  detail: string | null;
  found: string | null;
};

/**
 * Claims deliveries that are due: no other process makes them for a minute. If this one ends before it has recorded
 * them, they are made again.
 * @param present  the event as callers see it.
 */
export function claimDeliveries(
  store: Store,
  endpointId: string,
  options: { readonly limit: number; readonly deadlineMs: number; readonly present: (row: EventView) => object },
): Promise<ClaimedDelivery[]> {
  return inTransaction(store, options.deadlineMs, async (connection) => {
    const due = await connection.query<{ delivery_id: number }[]>(
      `SELECT delivery_id FROM webhook_deliveries FORCE INDEX (ix_webhook_deliveries_due)
       WHERE endpoint_id = ? AND next_attempt_at <= UTC_TIMESTAMP(3)
       ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED`,
      [endpointId, options.limit],
    );
    if (due.length === 0) return [];
    const ids = due.map((row) => row.delivery_id);
    await connection.query(
      `UPDATE webhook_deliveries SET attempt_count = attempt_count + 1,
         next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL ${leaseSeconds} SECOND WHERE delivery_id IN (?)`,
      [ids],
    );
    const rows = await connection.query<ClaimedRow[]>(
      `SELECT d.delivery_id, d.type, d.attempt_count AS attempt_count_of_delivery, d.attempts, d.created_at AS created,
         d.detail, e.event_id AS found, ${eventColumns('e')}
       FROM webhook_deliveries d LEFT JOIN conversation_events e ON e.event_id = d.event_id
       WHERE d.delivery_id IN (?) ORDER BY d.delivery_id`,
      [ids],
    );
    return rows.map(({ delivery_id, type, attempt_count_of_delivery, attempts, created, detail, found, ...row }) => ({
      deliveryId: Number(delivery_id),
      type,
      attemptCount: attempt_count_of_delivery,
      attempts: attemptsIn(attempts),
      createdAt: created,
      detail: detail === null ? null : (JSON.parse(detail) as Record<string, unknown>),
      event: found === null ? null : (options.present(parsed(row)) as Record<string, unknown>),
    }));
  });
}

/**
 * Records how an attempt was answered, and what becomes of the delivery and of its endpoint: first of the endpoint, as
 * operators lock them, and only if it changes. Nothing is recorded if the claim has been lost meanwhile.
 */
export function recordAttempt(
  store: Store,
  { endpointId, failingSince }: Pick<DueEndpoint, 'endpointId' | 'failingSince'>,
  delivery: Pick<ClaimedDelivery, 'deliveryId' | 'attempts' | 'attemptCount'>,
  attempt: Attempt,
  { verdict, deadlineMs }: { readonly verdict: Verdict; readonly deadlineMs: number },
): Promise<void> {
  const attempts = JSON.stringify([...delivery.attempts, attempt].slice(-keptAttempts));
  // What disables an endpoint waits with the others until it is enabled.
  const waits = verdict.kind === 'retry' || verdict.kind === 'disable';
  const state = verdict.kind === 'delivered' ? 'DELIVERED' : waits ? 'PENDING' : 'FAILED';
  const delay = waits ? (verdict.kind === 'retry' ? verdict.delayMs * 1_000 : 0) : null;
  return inTransaction(store, deadlineMs, async (connection) => {
    if (verdict.kind === 'disable')
      await connection.query(
        `UPDATE webhook_endpoints SET state = 'disabled', disabled_why = ?, updated_at = UTC_TIMESTAMP(3)
         WHERE endpoint_id = ? AND state = 'enabled'`,
        [verdict.why, endpointId],
      );
    else if (verdict.kind === 'delivered' && failingSince !== null)
      await connection.query('UPDATE webhook_endpoints SET failing_since = NULL WHERE endpoint_id = ?', [endpointId]);
    else if ((verdict.kind === 'retry' || verdict.kind === 'failed') && failingSince === null)
      await connection.query(
        'UPDATE webhook_endpoints SET failing_since = COALESCE(failing_since, UTC_TIMESTAMP(3)) WHERE endpoint_id = ?',
        [endpointId],
      );
    await connection.query(
      `UPDATE webhook_deliveries SET state = ?, attempts = ?,
         next_attempt_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND,
         closed_at = IF(? = 'PENDING', NULL, UTC_TIMESTAMP(3))
       WHERE delivery_id = ? AND state = 'PENDING' AND attempt_count = ?`,
      [state, attempts, delay, state, delivery.deliveryId, delivery.attemptCount],
    );
  });
}

/** Undoes a claim, unless it has been lost meanwhile. */
export function returnDelivery(
  store: Store,
  { deliveryId, attemptCount }: Pick<ClaimedDelivery, 'deliveryId' | 'attemptCount'>,
  deadlineMs: number,
): Promise<void> {
  return withConnection(store, deadlineMs, async (connection) => {
    await connection.query(
      `UPDATE webhook_deliveries SET attempt_count = attempt_count - 1, next_attempt_at = UTC_TIMESTAMP(3)
       WHERE delivery_id = ? AND state = 'PENDING' AND attempt_count = ?`,
      [deliveryId, attemptCount],
    );
  });
}

export function attemptsIn(text: string | null): Attempt[] {
  return text === null ? [] : (JSON.parse(text) as Attempt[]);
}
