import * as z from 'zod';
import type { Logger } from '../runtime/log.ts';
import { createRemote } from '../runtime/remote/remote.ts';
import type { Analyser } from './ports.ts';

const mostMemories = 2_000;
const counted = z.object({ new_memories: z.int().min(0).max(mostMemories) });
const listed = z.object({ memories: z.array(z.unknown()).max(mostMemories) });

/**
 * A service that remembers what users tell: `POST {user_id, conversation_id, messages: [{role, text}]}` →
 * `{new_memories: n}`, or `{memories: […]}` with the new ones. The same conversation may come again, and has to get the
 * same answer: what was new when it came first.
 */
export function memoryService(options: {
  readonly url: string;
  readonly connections: number;
  readonly deadlineMs: number;
  readonly openMs?: number;
  readonly log: Logger;
}): Analyser {
  const remote = createRemote({ ...options, name: 'the memory service', gauge: 'memory_calls' });
  return {
    name: 'memories',
    version: '1',
    boundsItself: true,
    remembers: true,
    sendsTo: new URL(options.url).origin,
    async analyse({ user_id, conversation_id, conversation_log }) {
      const messages = conversation_log.map(({ speaker, text }) => ({
        role: speaker === 'pika' ? 'assistant' : 'user',
        text,
      }));
      const newMemories = await remote.post({ user_id, conversation_id, messages }, (given) => {
        const list = listed.safeParse(given);
        return list.success ? list.data.memories.length : counted.parse(given).new_memories;
      });
      return { newMemories };
    },
    close: () => remote.close(),
  };
}
