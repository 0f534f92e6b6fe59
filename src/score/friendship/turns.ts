import type { Turn } from '../../event/conversation.ts';

/**
 * Counts complete turns, from left to right: two neighbouring items with different speakers are one turn, and each item
 * is used once. `pika,pika,user,user` counts 1.
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
