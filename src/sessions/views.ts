import type { Message } from './ports.ts';
import type { SessionView } from './reads.ts';

/** Times are UTC, ISO 8601. */
export function presentSession(view: SessionView) {
  return {
    session_id: view.sessionId,
    user_id: view.userId,
    bot_type: view.botType,
    bot_id: view.botId,
    bot_name: view.botName,
    agent_tag: view.topicId,
    state: view.state,
    question_count: view.questions,
    messages: view.messages,
    pending: view.pending,
    synced: view.messages - view.pending,
    started_at: view.startedAt,
    last_activity_at: view.activeAt,
    conversation_id: view.end?.conversationId ?? null,
    event_id: view.eventId,
  };
}

export function presentMessage(m: Message) {
  return { message_id: m.messageId, position: m.position, role: m.role, text: m.text, timestamp: m.sentAt };
}

export function presentStats(view: SessionView) {
  const seconds = Math.max(0, view.activeAt.getTime() - view.startedAt.getTime()) / 1_000;
  return {
    session_id: view.sessionId,
    state: view.state,
    messages: view.messages,
    user_messages: view.questions,
    bot_messages: view.messages - view.questions,
    question_count: view.questions,
    pending: view.pending,
    synced: view.messages - view.pending,
    started_at: view.startedAt,
    last_activity_at: view.activeAt,
    duration_seconds: seconds,
    messages_per_minute: seconds >= 60 ? Math.round((view.messages / seconds) * 600) / 10 : null,
  };
}
