import { Problem } from '../runtime/http/problem.ts';
import type { Message, NewMessage, Taken } from './ports.ts';
import type { Reads } from './reads.ts';
import type { Reply, Respond } from './responder.ts';
import type { TakeMessages } from './take.ts';

export type Answered = {
  readonly taken: readonly Taken[];
  /** Null: there is no responder, or the user has said nothing. */
  readonly reply: { readonly message: Message } | { readonly code: string } | null;
};

/** Takes messages and, if the last of them is the user's and there is a responder, has it answer. */
export function createConverse(options: {
  readonly take: TakeMessages;
  readonly reads: Reads;
  readonly respond: Respond | null;
}): (sessionId: string, messages: readonly NewMessage[]) => Promise<Answered> {
  const { take, reads, respond } = options;

  async function answer(sessionId: string, asked: NewMessage, { position, isReplay }: Taken, responder: Respond) {
    // Its id follows from the question's: whoever asks again gets the answer that was stored.
    const replyId = `${asked.messageId}/reply`; // no caller's id has a slash
    const before = isReplay ? await reads.findMessage(sessionId, replyId) : null;
    if (before !== null) return { message: before };
    const session = await reads.session(sessionId);
    if (session === null) return { code: 'session_not_found' };
    const recent = session.history.filter((m) => m.position < position);
    // A question that is asked again later has left the history.
    const earlier =
      recent.length > 0 || position === 1
        ? recent
        : (await reads.messagesAfter(sessionId, Math.max(0, position - 10), 10)).filter((m) => m.position < position);
    const reply: Reply = await responder.reply(session, earlier, asked.text);
    if ('code' in reply) return reply;
    return store(sessionId, { messageId: replyId, isNamed: true, role: 'bot', text: reply.text, sentAt: new Date() });
  }

  async function store(sessionId: string, { isNamed, ...message }: NewMessage) {
    try {
      const [taken] = await take(sessionId, [{ ...message, isNamed }], 'responder');
      const { position, isReplay } = taken as Taken;
      const first = isReplay ? await reads.findMessage(sessionId, message.messageId) : null;
      return { message: first ?? { ...message, position } };
    } catch (error) {
      // The question is kept; the session has ended or is full meanwhile.
      if (error instanceof Problem && error.status < 500) return { code: error.code };
      throw error;
    }
  }

  return async (sessionId, messages) => {
    const taken = await take(sessionId, messages, 'caller');
    const [asked, its] = [messages.at(-1), taken.at(-1)];
    if (respond === null || asked?.role !== 'user' || its === undefined) return { taken, reply: null };
    return { taken, reply: await answer(sessionId, asked, its, respond) };
  };
}
