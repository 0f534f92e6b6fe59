import { LRUCache } from 'lru-cache';
import type { FriendshipView } from './ports.ts';

/** Of both caches together; a status has about a kilobyte. */
const maxBytes = 32 * 1_024 * 1_024;
const overheadBytes = 300;

/** An answer as it was sent. */
export type CachedAnswer = { readonly text: string; readonly etag: string; readonly userId: string };

export type ResponseCache = {
  readonly answers: {
    get(conversationId: string): CachedAnswer | undefined;
    /** Only of a PROCESSED event, which changes no more: it can only be removed. */
    set(conversationId: string, answer: CachedAnswer): void;
  };
  readonly friendships: {
    get(userId: string): FriendshipView | undefined;
    /** Only of a friendship whose row tells by its time whether it has changed since. */
    set(userId: string, view: FriendshipView): void;
  };
  /** What was removed here is not shown here again. */
  forgetUser(userId: string): void;
};

/**
 * What was answered lately. PROCESSED events are kept for `ttlMs`: an erasure waits for so long before it answers, so
 * that by then no API shows them. Friendships are compared with their row at every use.
 */
export function createResponseCache(ttlMs: number): ResponseCache {
  const answers = new LRUCache<string, CachedAnswer>({
    maxSize: maxBytes / 2,
    sizeCalculation: ({ text, userId }, id) => 2 * (text.length + userId.length + id.length) + overheadBytes,
    ttl: ttlMs,
  });
  const friendships = new LRUCache<string, FriendshipView>({
    maxSize: maxBytes / 2,
    sizeCalculation: ({ topics }, id) => overheadBytes * (1 + topics.length) + 2 * id.length,
    // Compared at every use; the time only bounds how long somebody's data are held in memory.
    ttl: 60_000,
  });
  return {
    answers,
    friendships,
    forgetUser(userId) {
      friendships.delete(userId);
      for (const [id, answer] of answers.entries()) if (answer.userId === userId) answers.delete(id);
    },
  };
}
