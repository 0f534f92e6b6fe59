import type { EndRequest, Message, Role, SessionState, StoredSession } from '../../sessions/ports.ts';

const columns =
  'session_id, user_id, bot_type, bot_id, bot_name, agent_tag, state, started_at, active_at, message_count, ' +
  'question_count, last_position, text_bytes, sync_token, end_request, event_id';
export const selectSession = `SELECT ${columns} FROM chat_sessions`;
export const selectMessages = 'SELECT message_id, position, role, sent_at, text FROM chat_messages';

export type SessionRow = {
  session_id: string;
  user_id: string;
  bot_type: string;
  bot_id: string;
  bot_name: string;
  agent_tag: string | null;
  state: SessionState;
  started_at: Date;
  active_at: Date;
  message_count: number;
  question_count: number;
  last_position: number;
  text_bytes: number;
  sync_token: number;
  end_request: string | null;
  event_id: string | null;
};

export type MessageRow = { message_id: string; position: number; role: Role; sent_at: Date; text: string };

export function toSession(r: SessionRow): StoredSession {
  return {
    sessionId: r.session_id,
    userId: r.user_id,
    botType: r.bot_type,
    botId: r.bot_id,
    botName: r.bot_name,
    topicId: r.agent_tag,
    state: r.state,
    startedAt: r.started_at,
    activeAt: r.active_at,
    messages: r.message_count,
    questions: r.question_count,
    lastPosition: r.last_position,
    bytes: r.text_bytes,
    end: r.end_request === null ? null : (JSON.parse(r.end_request) as EndRequest),
    endText: r.end_request,
    eventId: r.event_id,
  };
}

export function toMessage(r: MessageRow): Message {
  return { messageId: r.message_id, position: r.position, role: r.role, sentAt: r.sent_at, text: r.text };
}
