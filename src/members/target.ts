import type { Member } from './ports.ts';

/** What a worker is called by controls: it has the same name after a restart. */
export function targetOf({ name, host }: Pick<Member, 'name' | 'host'>): string {
  return `${name}@${host}`.slice(0, 255);
}
