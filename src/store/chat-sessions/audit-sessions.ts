import type { Turn } from '../../event/conversation.ts';
import type { EventId } from '../../event/event.ts';
import type { SessionFacts } from '../../operate/audit/ports.ts';
import { inSnapshot } from '../audit.ts';
import type { Store } from '../open-store.ts';

type SessionRow = {
  session_id: string;
  message_count: number;
  question_count: number;
  event_id: EventId | null;
  log: string | null;
};

function toSaid({ speaker, text }: Turn) {
  return { byUser: speaker === 'user', text };
}

/** Sessions after `after`, with their messages and events, in one snapshot. */
export function readSessionPage(
  store: Store,
  { after, size, since }: { readonly after: string; readonly size: number; readonly since: Date | null },
  deadlineMs: number,
): Promise<SessionFacts[]> {
  return inSnapshot(store, deadlineMs, async (connection) => {
    const sessions = await connection.query<SessionRow[]>(
      `SELECT s.session_id, s.message_count, s.question_count, s.event_id, l.conversation_log AS log
       FROM chat_sessions s FORCE INDEX (PRIMARY) LEFT JOIN conversation_logs l ON l.event_id = s.event_id
       WHERE s.session_id > ? AND s.active_at >= ? ORDER BY s.session_id LIMIT ?`,
      [after, since ?? new Date(0), size],
    );
    if (sessions.length === 0) return [];
    const messages = Map.groupBy(
      await connection.query<{ session_id: string; role: string; text: string }[]>(
        'SELECT session_id, role, text FROM chat_messages WHERE session_id IN (?) ORDER BY session_id, position',
        [sessions.map((s) => s.session_id)],
      ),
      (m) => m.session_id,
    );
    return sessions.map((s) => {
      const own = messages.get(s.session_id) ?? [];
      return {
        sessionId: s.session_id,
        messages: s.message_count,
        questions: s.question_count,
        countedMessages: own.length,
        countedQuestions: own.filter((m) => m.role === 'user').length,
        eventId: s.event_id,
        said: own.map((m) => ({ byUser: m.role === 'user', text: m.text })),
        scored: s.log === null ? null : (JSON.parse(s.log) as Turn[]).map(toSaid),
      };
    });
  });
}
