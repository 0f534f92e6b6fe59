import type { SessionFacts } from './ports.ts';

type SessionViolation = {
  readonly rule: 'session-count' | 'session-event';
  readonly sessionId: string;
  /** The stored value and the expected one. */
  readonly detail: string;
};

/** Checks that sessions count their messages, and that the event of each is what was said in it. */
export function judgeSessions(sessions: readonly SessionFacts[]): SessionViolation[] {
  return sessions.flatMap((s) => {
    const found: SessionViolation[] = [];
    const add = (rule: SessionViolation['rule'], detail: string) =>
      void found.push({ rule, sessionId: s.sessionId, detail });
    if (s.messages !== s.countedMessages) add('session-count', `${s.messages} messages, not ${s.countedMessages}`);
    if (s.questions !== s.countedQuestions) add('session-count', `${s.questions} questions, not ${s.countedQuestions}`);
    if (s.eventId === null || s.scored === null) return found;
    if (s.scored.length !== s.said.length) add('session-event', `${s.scored.length} turns, not ${s.said.length}`);
    else if (s.scored.some(({ byUser, text }, i) => text !== s.said[i]?.text || byUser !== s.said[i]?.byUser))
      add('session-event', 'its turns are not what was said');
    return found;
  });
}
