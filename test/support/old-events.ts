import type { Pool } from 'mysql2/promise';

/** Writes closed events that are years old, and were never processed. @param thousands  of them. */
export async function fillOld(database: Pool, thousands: number): Promise<void> {
  await database.query(
    `INSERT INTO conversation_events (event_id, conversation_id, user_id, bot_type, bot_id, bot_name, start_time,
       end_time, request_digest, status, error_code, created_at, updated_at)
     WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000),
       m AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM m WHERE i < ?)
     SELECT CONCAT('01800000-0000-7', LPAD(HEX(m.i), 3, '0'), '-8000-', LPAD(HEX(n.i), 12, '0')),
       CONCAT('old_', m.i, '_', n.i), 'user_old', 'TALK', 'b', 'B', '2020-01-01', '2020-01-02', REPEAT('x', 32),
       'SKIPPED', 'SKIPPED', '2020-01-02', '2020-01-02' FROM m CROSS JOIN n`,
    [thousands],
  );
}

/** For an API that removes them at once. */
export const retentionEverySecond = {
  MAINTENANCE_SCHEDULE: '* * * * * *',
  EVENT_RETENTION_DAYS: '1',
  RETENTION_SCHEDULE: '* * * * * *',
} as const;
