import { actsFor, type Caller } from '../runtime/http/index.ts';
import { notFound } from './not-found.ts';
import type { Reads, SessionView } from './reads.ts';
import { requireSessionId } from './request.ts';

/** A key that is bound to others does not learn that it exists. @throws {Problem} 404 */
export async function findOwn(reads: Reads, id: string, caller: Caller): Promise<SessionView> {
  const view = await reads.session(requireSessionId(id));
  if (view === null || !actsFor(caller, view.userId)) throw notFound();
  return view;
}

/** The same, but nothing is read for a key that is bound to nobody. */
export async function requireOwn(reads: Reads, id: string, caller: Caller): Promise<void> {
  if (caller.boundTo !== null) await findOwn(reads, id, caller);
}
