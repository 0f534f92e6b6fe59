import type { EventId } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';
import type { AppliedUser } from '../rescore/ports.ts';
import type { Rebuilt, UserRecord } from '../settle/ports.ts';
import type { Connection } from './connection.ts';
import type { Store } from './open-store.ts';
import { inParts, readRecord, removeFriendship, replaceFriendship, withUserLocked } from './user-record.ts';

/**
 * Gives the events of a user the results of a run, and counts the friendship once more from them: in one transaction,
 * so that nobody sees one without the other. What is replaced goes to `score_history`. A user whom it was done for
 * already is left as they are.
 */
export function applyRescore(
  store: Store,
  run: number,
  userId: string,
  rebuild: (record: UserRecord) => Rebuilt,
  deadlineMs: number,
): Promise<AppliedUser> {
  return withUserLocked(store, userId, deadlineMs, async (connection, user) => {
    const there = new Set(user.eventIds);
    const ids = (await waiting(connection, run, userId)).filter((id) => there.has(id));
    const levelBefore = user.isAdded ? null : await levelOf(connection, userId);
    for (const some of inParts(ids)) {
      await remember(connection, run, some);
      await replaceResults(connection, run, some);
    }
    await connection.query(
      `UPDATE rescored_events SET applied_at = UTC_TIMESTAMP(3)
       WHERE rescore_id = ? AND user_id = ? AND applied_at IS NULL AND error_code IS NULL`,
      [run, userId],
    );
    if (ids.length === 0) {
      if (user.isAdded) await removeFriendship(connection, userId);
      return { events: 0, levelBefore, levelAfter: levelBefore };
    }
    const record = await readRecord(connection, user);
    const rebuilt = rebuild(record);
    await replaceFriendship(connection, record, rebuilt);
    await replaceLevels(connection, record, rebuilt);
    return { events: ids.length, levelBefore, levelAfter: rebuilt.friendship?.level ?? null };
  });
}

async function waiting(connection: Connection, run: number, userId: string): Promise<EventId[]> {
  const rows = await connection.query<{ event_id: EventId }[]>(
    `SELECT event_id FROM rescored_events FORCE INDEX (ix_rescored_events_run)
     WHERE rescore_id = ? AND user_id = ? AND applied_at IS NULL AND error_code IS NULL ORDER BY event_id`,
    [run, userId],
  );
  return rows.map((row) => row.event_id);
}

async function levelOf(connection: Connection, userId: string): Promise<FriendshipLevel | null> {
  const [row] = await connection.query<{ level: FriendshipLevel }[]>(
    'SELECT friendship_level AS level FROM friendship_status WHERE user_id = ?',
    [userId],
  );
  return row?.level ?? null;
}

async function remember(connection: Connection, run: number, ids: readonly EventId[]): Promise<void> {
  await connection.query(
    `INSERT INTO score_history (event_id, rescore_id, user_id, friendship_score_change, new_friendship_level,
       score_calculation_details, replaced_at)
     SELECT event_id, ?, user_id, friendship_score_change, new_friendship_level, score_calculation_details,
       UTC_TIMESTAMP(3)
     FROM conversation_events FORCE INDEX (PRIMARY) WHERE event_id IN (?)`,
    [run, ids],
  );
}

async function replaceResults(connection: Connection, run: number, ids: readonly EventId[]): Promise<void> {
  await connection.query(
    `UPDATE rescored_events r JOIN conversation_events e FORCE INDEX (PRIMARY) ON e.event_id = r.event_id
     SET e.friendship_score_change = r.change_after, e.score_calculation_details = r.details,
       e.updated_at = UTC_TIMESTAMP(3)
     WHERE r.rescore_id = ? AND r.event_id IN (?)`,
    [run, ids],
  );
}

/** The level that an event led to depends on those before it: also events that kept their results may get another. */
async function replaceLevels(connection: Connection, { events }: UserRecord, { levels }: Rebuilt): Promise<void> {
  const changed = events.flatMap(({ eventId, level }, i) => {
    const wanted = levels[i];
    return wanted === undefined || wanted === level ? [] : [{ eventId, wanted }];
  });
  for (const [wanted, group] of Map.groupBy(changed, (one) => one.wanted))
    for (const some of inParts(group))
      await connection.query(
        `UPDATE conversation_events FORCE INDEX (PRIMARY)
         SET new_friendship_level = ?, updated_at = UTC_TIMESTAMP(3) WHERE event_id IN (?)`,
        [wanted, some.map(({ eventId }) => eventId)],
      );
}
