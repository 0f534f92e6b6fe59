import { withConnection } from '../connection.ts';
import type { Store } from '../open-store.ts';

type SessionLine = {
  session_id: string;
  user_id: string;
  state: string;
  message_count: number;
  question_count: number;
  started_at: Date;
  active_at: Date;
  event_id: string | null;
};

/** Sessions, the most active first; null: of all users, in any state. */
export function listSessions(
  store: Store,
  { userId, state }: { readonly userId: string | null; readonly state: string | null },
  limit: number,
  deadlineMs: number,
): Promise<SessionLine[]> {
  const columns =
    'session_id, user_id, state, message_count, question_count, started_at, active_at, event_id FROM chat_sessions';
  const last = 'ORDER BY active_at DESC LIMIT ?';
  // Each state is read along the index: all of them together would have to be sorted.
  const states = state === null ? ['open', 'ending', 'ended'] : [state];
  const ofUser = userId === null ? '' : 'AND user_id = ?';
  const parts = states.map(() => `(SELECT ${columns} WHERE state = ? ${ofUser} ${last})`);
  const values = states.flatMap((one) => [one, ...(userId === null ? [] : [userId]), limit]);
  return withConnection(store, deadlineMs, (connection) =>
    connection.query<SessionLine[]>(`${parts.join(' UNION ALL ')} ${last}`, [...values, limit]),
  );
}
