import { lostAfterMs, type SeenMember } from './ports.ts';
import { targetOf } from './target.ts';

export function isAlive({ state, silentMs }: SeenMember): boolean {
  return state !== 'stopped' && silentMs <= lostAfterMs;
}

/** @param wanted  a name, `name@host`, `host:pid` or a member's id, as an operator writes it. */
export function isCalled(member: SeenMember, wanted: string): boolean {
  return isExactly(member, wanted) || [targetOf(member), member.name].includes(wanted);
}

/** It means this process, and not the one that comes after it under the same name. */
export function isExactly({ host, pid, memberId }: SeenMember, wanted: string): boolean {
  return `${host}:${pid}` === wanted || memberId === wanted;
}
