import { type Caller, Problem, requireUser } from '../runtime/http/index.ts';

/** Whose conversations are asked for; undefined: everybody's. @throws {Problem} 403 */
export function userIn(caller: Caller, wanted: string | undefined): string | undefined {
  if (wanted !== undefined) requireUser(caller, wanted);
  if (wanted !== undefined || caller.boundTo === null) return wanted;
  if ('userId' in caller.boundTo) return caller.boundTo.userId;
  throw new Problem(403, 'other_user', 'this key is bound to several users: name one of them as user_id');
}
