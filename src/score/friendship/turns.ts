import type { Turn } from '../../event/conversation.ts';

/**
 * Complete turns: from left to right, two neighbours with different speakers count one and are both passed; otherwise
 * move on by one. `pika,pika,user,user` counts 1.
 */
export function countCompleteTurns(log: readonly Pick<Turn, 'speaker'>[]): number {
  let count = 0;
  let i = 0;
  while (i + 1 < log.length) {
    if (log[i]?.speaker !== log[i + 1]?.speaker) {
      count++;
      i += 2;
    } else {
      i++;
    }
  }
  return count;
}
