import type { Message, Role, Session, SessionHead, SessionState } from '../sessions/ports.ts';

/** Sessions are hashes, messages are lines (scripts/ says which). */

export function fieldsOf(s: SessionHead & Omit<Session, 'questions'>): (string | number)[] {
  return [
    ...['user', s.userId, 'bot_type', s.botType, 'bot_id', s.botId, 'bot_name', s.botName],
    ...(s.topicId === null ? [] : ['topic', s.topicId]),
    ...['started', s.startedAt.getTime(), 'active', s.activeAt.getTime(), 'state', s.state],
    ...['last', s.lastPosition, 'messages', s.messages, 'bytes', s.bytes],
  ];
}

export function asRecord(fields: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) record[fields[i] as string] = fields[i + 1] as string;
  return record;
}

export function toSession(sessionId: string, fields: readonly string[], questions: string): Session {
  const f = asRecord(fields);
  return {
    sessionId,
    userId: f['user'] ?? '',
    botType: f['bot_type'] ?? '',
    botId: f['bot_id'] ?? '',
    botName: f['bot_name'] ?? '',
    topicId: f['topic'] ?? null,
    startedAt: new Date(Number(f['started'])),
    activeAt: new Date(Number(f['active'])),
    state: f['state'] as SessionState,
    messages: Number(f['messages']),
    questions: Number(questions),
    lastPosition: Number(f['last']),
    bytes: Number(f['bytes']),
  };
}

const lines = /^(\d+)\n\d+\n(user|bot)\n(-?\d+)\n(.*)$/s;

function toMessage(messageId: string, value: string): Message | null {
  const [, position, role, sent, text] = lines.exec(value) ?? [];
  if (text === undefined) return null;
  return { messageId, position: Number(position), role: role as Role, sentAt: new Date(Number(sent)), text };
}

export function toHistory(line: string): Message {
  const end = line.indexOf('\n');
  return toMessage(line.slice(0, end), line.slice(end + 1)) as Message;
}

export function toMessages(ids: readonly string[], values: readonly string[]) {
  const messages: Message[] = [];
  const lostIds: string[] = [];
  ids.forEach((id, i) => {
    const message = toMessage(id, values[i] ?? '');
    if (message === null) lostIds.push(id);
    else messages.push(message);
  });
  return { messages, lostIds };
}
