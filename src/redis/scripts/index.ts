import { indexScripts } from './index-scripts.ts';
import { sessionScripts } from './session-scripts.ts';

/**
 * What Redis does in one step. Each script touches one slot of a cluster: the keys of one session, or the index of all.
 * Redis 6.2 and later, Valkey.
 *
 * A message is `position, questions, role, time, text`, one per line, and the text may have more lines.
 */
export const scripts = { ...sessionScripts, ...indexScripts };
