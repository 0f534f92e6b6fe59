import type { Scorer } from '../../src/score/index.ts';

/**
 * An example of a scorer that calls a service: posts the conversation and uses the points in the response. While it
 * waits, its thread works on other conversations, so a few threads are enough for hundreds of calls at once.
 *
 *   SCORE_URL=http://127.0.0.1:8000/score SCORER_MODULE=docs/examples/http-scorer.ts scripts/up
 */
const url = process.env['SCORE_URL'];
if (url === undefined) throw new Error('set SCORE_URL to the URL of the scoring service');

const scorer: Scorer = {
  name: 'http',
  version: '1',
  // Optional: saves the pool from having to find this out.
  waits: true,
  async score(conversation, { signal, headers }) {
    const answer = await fetch(url, {
      method: 'POST',
      // With the event's trace, if there are traces.
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(conversation),
      // Ends the call at SCORING_TIMEOUT_MS, and when the worker has to stop. The attempt is then tried again, or given
      // back unused.
      signal,
    });
    if (!answer.ok) {
      // Otherwise the connection stays open until the body is garbage-collected.
      await answer.body?.cancel();
      // These statuses blame the request itself: a retry would not help. Any other error may pass.
      const permanent = answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429;
      throw Object.assign(new Error(`the service answered ${answer.status}`), { permanent });
    }
    const { points } = (await answer.json()) as { points?: unknown };
    if (typeof points !== 'number') throw new Error('the service answered no points');
    return { change: points, details: { points } };
  },
};
export default scorer;
