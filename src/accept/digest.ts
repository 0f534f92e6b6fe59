import { hash } from 'node:crypto';
import type { ConversationRequest } from './request.ts';

/**
 * SHA-256 of a normalised request. Two requests that differ only in form have the same digest: in the log's shape, the
 * time zones, the order of metadata keys, or the fields that are ignored.
 *
 * @param logJson  the JSON text of `request.turns`, which the row needs anyway.
 */
export function requestDigest(request: ConversationRequest, logJson: string): Buffer {
  const parts = [
    request.conversationId,
    request.userId,
    request.botType,
    request.botId,
    request.botName,
    request.topicId,
    request.startTime.getTime(),
    request.endTime.getTime(),
    canonical(request.metadata),
  ];
  return hash('sha256', JSON.stringify(parts) + logJson, 'buffer');
}

/** The same value with the keys of every object sorted. Objects are tagged, so that no list can equal one. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return ['list', ...value.map(canonical)];
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return ['object', ...entries.map(([key, child]) => [key, canonical(child)])];
}
