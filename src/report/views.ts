import { type EventId, timeOfEventId } from '../event/event.ts';
import type { EventView, FriendshipView, TextView } from './ports.ts';

/** The id has the clock of the API, and the row that of the database. */
const clocksApartMs = 1_000;

/** What an answer may include in addition to the event. */
export type Part = 'log' | 'metadata';

/** The answer for one event; `result` and `error` are null where there is none. Times are UTC, ISO 8601. */
export function presentEvent(row: EventView, parts: readonly Part[] = [], text: TextView | null = null) {
  return {
    conversation_id: row.conversation_id,
    event_id: row.event_id,
    user_id: row.user_id,
    bot_type: row.bot_type,
    bot_id: row.bot_id,
    bot_name: row.bot_name,
    agent_tag: row.agent_tag,
    start_time: row.start_time,
    end_time: row.end_time,
    lane: row.lane,
    status: row.status,
    attempt_count: row.attempt_count,
    created_at: row.created_at,
    updated_at: row.updated_at,
    processed_at: row.processed_at,
    process_after: scheduledFor(row),
    next_attempt_at: row.next_attempt_at,
    processing: row.status === 'PROCESSING' ? { attempt_started_at: row.attempt_started_at, worker: row.worker } : null,
    error: row.error_code === null ? null : { code: row.error_code, details: row.error_details },
    result:
      row.status === 'PROCESSED'
        ? {
            friendship_score_change: row.friendship_score_change,
            new_friendship_level: row.new_friendship_level,
            score_calculation_details: row.score_calculation_details,
          }
        : null,
    ...(parts.includes('log') && { conversation_log: parsed(text?.conversation_log) }),
    ...(parts.includes('metadata') && { metadata: parsed(text?.metadata) }),
  };
}

/** The time of its id, if that is not the time at which it was accepted; null: it was not scheduled. */
function scheduledFor({ event_id, created_at }: EventView): Date | null {
  const at = timeOfEventId(event_id as EventId);
  return at !== null && at - created_at.getTime() > clocksApartMs ? new Date(at) : null;
}

function parsed(json: string | null | undefined): unknown {
  return json == null ? null : (JSON.parse(json) as unknown);
}

export function presentFriendship({ status, topics }: FriendshipView) {
  return {
    user_id: status.user_id,
    friendship_score: status.friendship_score,
    friendship_level: status.friendship_level,
    streak_day: status.streak_day,
    last_interaction_date: status.last_interaction_date,
    updated_at: status.updated_at,
    topics: topics.map((t) => ({
      topic_id: t.topic_id,
      score: t.score,
      turns: t.turns,
      level: t.level,
      last_date: t.last_date,
    })),
  };
}
