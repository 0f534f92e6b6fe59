import type { Lane, LaneRule } from '../event/lane.ts';
import type { ConversationRequest } from './request.ts';

/** `why`: for metrics. */
export type Choice = { readonly lane: Lane; readonly why: 'noisy' | 'asked' | 'rule' | 'default' };

/**
 * Who sends too much is in the low lane, whatever they ask for; otherwise it is what the caller asks for, or else the
 * first rule that matches, or else the normal lane.
 */
export function chooseLane(
  request: Pick<ConversationRequest, 'priority' | 'botType' | 'botId' | 'topicId'>,
  rules: readonly LaneRule[],
  isNoisy: boolean,
): Choice {
  if (isNoisy) return { lane: 'low', why: 'noisy' };
  if (request.priority !== null) return { lane: request.priority, why: 'asked' };
  const values = { bot_type: request.botType, bot_id: request.botId, agent_tag: request.topicId };
  const rule = rules.find(({ field, value }) => matches(values[field], value));
  return rule === undefined ? { lane: 'normal', why: 'default' } : { lane: rule.lane, why: 'rule' };
}

function matches(text: string | null, value: string): boolean {
  if (text === null) return false;
  return value.endsWith('*') ? text.startsWith(value.slice(0, -1)) : text === value;
}
