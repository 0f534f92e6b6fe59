import { hash } from 'node:crypto';
import type { ConversationRequest } from './request.ts';

/**
 * SHA-256 of a normalised request. Two spellings of one request have one digest: other log shape, other zone of a time,
 * other order of metadata keys, more or fewer ignored fields.
 *
 * @param logJson  the JSON text of `request.turns`, made anyway for row and message.
 */
export function requestDigest(request: ConversationRequest, logJson: string): Buffer {
  const parts = [
    request.conversationId,
    request.userId,
    request.botType,
    request.botId,
    request.botName,
    request.agentTag,
    request.startTime.getTime(),
    request.endTime.getTime(),
    canonical(request.metadata),
  ];
  return hash('sha256', JSON.stringify(parts) + logJson, 'buffer');
}

/** The same value with the keys of every object in one order, and told from a list that looks the same. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return ['list', ...value.map(canonical)];
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return ['object', ...entries.map(([key, child]) => [key, canonical(child)])];
}
