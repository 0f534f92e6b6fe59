import * as z from 'zod';
import { type Lane, type LaneRule, type LaneWeights, lanes } from './event/lane.ts';

/** How the settings of lanes are parsed (`settings.ts`). */

const isLane = (text: string): text is Lane => lanes.some((lane) => lane === text);
const weightOf = /^(\w+):([1-9]\d?|100)$/;
const rule = /^(bot_type|bot_id|agent_tag)=([^,=]{1,255}):(\w+)$/;

/** `high:6,normal:3,low:1`. A weight of 0 would starve a lane. */
export function laneWeights() {
  const message = 'must be a weight from 1 to 100 for each lane, as in high:6,normal:3,low:1';
  return z.string().transform((text, context): LaneWeights => {
    const given = partsOf(text).map((part) => weightOf.exec(part) ?? []);
    const weights = Object.fromEntries(given.map(([, lane, weight]) => [lane, Number(weight)]));
    if (given.length === lanes.length && lanes.every((lane) => weights[lane] > 0)) return weights as LaneWeights;
    context.addIssue(message);
    return z.NEVER;
  });
}

/** `high,normal` */
export function laneList() {
  return z.string().transform((text, context): readonly Lane[] => {
    const given = partsOf(text);
    if (given.length > 0 && given.every(isLane)) return lanes.filter((lane) => given.includes(lane));
    context.addIssue(`must be some of ${lanes.join(', ')}, separated by commas`);
    return z.NEVER;
  });
}

/** `bot_type=STORY:low,bot_id=exam-*:high` */
export function laneRules() {
  return z.string().transform((text, context): readonly LaneRule[] => {
    const given = partsOf(text).map((part) => ({ part, parsed: rule.exec(part) }));
    const rules = given.flatMap(({ parsed }) => {
      const [, field, value = '', lane = ''] = parsed ?? [];
      return isLane(lane) ? [{ field: field as LaneRule['field'], value, lane }] : [];
    });
    if (rules.length === given.length) return rules;
    const wrong = given.find(({ parsed }) => !isLane(parsed?.[3] ?? ''))?.part;
    context.addIssue(
      `has ${JSON.stringify(wrong)}: rules are bot_type, bot_id or agent_tag, =, a value that may end in *, and the ` +
        `lane (${lanes.join(', ')}), as in bot_type=STORY:low`,
    );
    return z.NEVER;
  });
}

function partsOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}
