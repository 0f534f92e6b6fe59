import { samples } from '../../test/support/client.ts';

/**
 * Real conversations without their ids, as JSON text: a load generator that shares the machine must cost little.
 */
const rests = samples().map(({ conversation_id: _id, user_id: _user, ...rest }) => JSON.stringify(rest).slice(1));
let n = 0;

/** Real conversations (3 KB at the median) as JSON, each with its own id. `users`: how many users share them. */
export function nextBody(users = 168): string {
  const i = n++;
  // Ids in no order, as clients send them: an index that is filled at one end only would be too easy.
  const scattered = (Math.imul(i, 0x9e3779b1) >>> 0).toString(36);
  const id = `${scattered}_bench_${process.pid}_${i}`;
  return `{"conversation_id":"${id}","user_id":"user_${i % users}",${rests[i % rests.length]}`;
}
