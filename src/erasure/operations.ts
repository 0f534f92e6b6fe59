import * as z from 'zod';
import type { Operation } from '../runtime/http/index.ts';

const count = z.int();

export const erasureOperations: readonly Operation[] = [
  {
    id: 'eraseUser',
    method: 'delete',
    path: '/v1/users/{id}',
    scope: 'admin',
    tag: 'Users',
    summary: 'Erase a user',
    description:
      'Removes everything there is of a user: conversations with their texts, open ones too, live sessions, ' +
      'friendship and topics, and dead letters. It is recorded that somebody was erased, and not who. May be ' +
      'repeated, and has to be after a 503.',
    answers: {
      200: {
        what: 'Nothing is left.',
        content: {
          schema: z.object({ erased: z.object({ conversations: count, sessions: count, dead_letters: count }) }),
        },
      },
    },
    problems: { 503: ['still_there', 'letters_held', 'broker_unavailable', 'redis_unavailable'] },
  },
];
