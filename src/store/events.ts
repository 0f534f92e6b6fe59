import type { EventRef, EventStatus } from '../event/event.ts';
import { withConnection, withRepositories } from './connection.ts';
import type { Store } from './open-store.ts';
import type { EventRow, FriendshipRow, TopicRow } from './schemas.ts';

export type { EventRow, FriendshipRow, TopicRow } from './schemas.ts';

/** One event; the log only `withLog`. Null if there is none. */
export function findEvent(store: Store, ref: EventRef, options: { withLog: boolean; deadlineMs: number }): Promise<EventRow | null> {
  return withRepositories(store, options.deadlineMs, ({ events }) => {
    const query = events.createQueryBuilder('e');
    if ('eventId' in ref) query.where('e.event_id = :eventId', ref);
    else query.where('e.conversation_id = :conversationId', ref);
    if (options.withLog) query.addSelect('e.conversation_log');
    return query.getOne();
  });
}

/**
 * Events newest first (event ids carry their time), after `before` in that order: a keyset page, whose cost does not
 * grow with the page's number.
 */
export function listEvents(
  store: Store,
  filter: { readonly status?: EventStatus; readonly userId?: string; readonly before?: string },
  options: { readonly limit: number; readonly deadlineMs: number },
): Promise<EventRow[]> {
  return withRepositories(store, options.deadlineMs, ({ events }) => {
    const query = events.createQueryBuilder('e').orderBy('e.event_id', 'DESC').limit(options.limit);
    // Named, because MySQL would read the primary key from its end to be spared the sort, past millions of rows of others.
    if (filter.userId !== undefined) query.useIndex('ix_conversation_events_user').andWhere('e.user_id = :userId', filter);
    else if (filter.status !== undefined) query.useIndex('ix_conversation_events_status');
    if (filter.status !== undefined) query.andWhere('e.status = :status', filter);
    if (filter.before !== undefined) query.andWhere('e.event_id < :before', filter);
    return query.getMany();
  });
}

/** Which of these conversations are closed by now. */
export async function findClosed(store: Store, conversationIds: readonly string[], deadlineMs: number): Promise<string[]> {
  const rows = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ conversation_id: string }[]>(
      "SELECT conversation_id FROM conversation_events WHERE conversation_id IN (?) AND status IN ('PROCESSED', 'FAILED', 'SKIPPED')",
      [conversationIds],
    ),
  );
  return rows.map((row) => row.conversation_id);
}

/** A user's friendship with its topics, most points first; null for a user without a processed event. */
export function findFriendship(
  store: Store,
  userId: string,
  deadlineMs: number,
): Promise<{ readonly status: FriendshipRow; readonly topics: readonly TopicRow[] } | null> {
  return withRepositories(store, deadlineMs, async ({ friendships, topics }) => {
    const status = await friendships.findOneBy({ user_id: userId });
    if (!status) return null;
    return { status, topics: await topics.find({ where: { user_id: userId }, order: { score: 'DESC', topic_id: 'ASC' } }) };
  });
}

/** @throws {PipelineError} transient if the database does not answer in time. */
export async function ping(store: Store, deadlineMs: number): Promise<void> {
  await withConnection(store, deadlineMs, (connection) => connection.query('SELECT 1'));
}

/** Connections the server admits in all, for the budget check at start. */
export async function maxConnections(store: Store, deadlineMs: number): Promise<number> {
  const [row] = await withConnection(store, deadlineMs, (connection) =>
    connection.query<{ n: unknown }[]>('SELECT @@max_connections AS n'),
  );
  return Number(row?.n);
}
