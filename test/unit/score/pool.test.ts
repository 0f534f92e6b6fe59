import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ConversationText } from '../../../src/event/conversation.ts';
import type { Outcome } from '../../../src/event/outcome.ts';
import { type ScorePool, type ScorePoolOptions, startScorePool } from '../../../src/score/index.ts';

/** Real threads with a scorer that does what the event's metadata says. */

const timeoutMs = 1_500;
let pool: ScorePool | undefined;
afterEach(() => pool?.close());

async function start(options: Partial<ScorePoolOptions> = {}): Promise<ScorePool> {
  pool = await startScorePool({
    threads: 1,
    threadMaxTasks: 0,
    threadMemoryMb: 64,
    timeoutMs,
    weights: { turn: 1, question: 3, interesting: 15, boring: -15, memory: 5, pronunciation: 0 },
    scorerModule: fileURLToPath(new URL('../../fixtures/obedient-scorer.ts', import.meta.url)),
    stop: new AbortController().signal,
    log: pino({ level: 'silent' }),
    ...options,
  });
  return pool;
}

let made = 0;
function body(metadata: object, text = 'hello'): ConversationText {
  const conversation = {
    conversation_id: `c${made++}`,
    user_id: 'u',
    bot_type: 'TALK',
    start_time: '2026-01-31T20:00:00.000Z',
    metadata,
    conversation_log: [{ speaker: 'user', turn_id: 1, text, timestamp: '2026-01-31T20:00:00.000Z' }],
  };
  return [Buffer.from(JSON.stringify(conversation))];
}

/** `scored`, or the code of the failure. */
const outcomes = async (all: readonly Promise<Outcome>[]) =>
  (await Promise.all(all)).map((outcome) => (outcome.kind === 'scored' ? 'scored' : outcome.code));
const details = async (name: 'attempt' | 'crowd', all: readonly Promise<Outcome>[]) =>
  (await Promise.all(all)).map((outcome) => (outcome.kind === 'scored' ? JSON.parse(outcome.detailsJson)[name] : null));
const many = (n: number, metadata: object) => Array.from({ length: n }, () => body(metadata));

describe('one thread', () => {
  test('runs everything that waits at the same time: each waits until all have begun', async () => {
    const { score } = await start();
    expect(await outcomes(many(50, { act: 'meet', party: 50 }).map(score))).toEqual(Array(50).fill('scored'));
  });

  test('a scoring that waits does not delay those that do not', async () => {
    const { score } = await start();
    const ended: string[] = [];
    const slow = score(body({ act: 'wait', ms: 1_000 })).then(() => ended.push('slow'));
    await Promise.all(many(30, {}).map((b) => score(b).then(() => ended.push('quick'))));
    await slow;
    expect(ended.indexOf('slow')).toBe(30);
  });

  test('one that waits within a group of quick ones does not delay their replies', async () => {
    const { score } = await start();
    await Promise.all(many(200, {}).map(score)); // from here on quick ones go together
    const ended: string[] = [];
    const replies = Array.from({ length: 40 }, (_, i) => {
      const kind = i === 3 ? 'slow' : 'quick';
      return score(body(kind === 'slow' ? { act: 'wait', ms: 1_000 } : {})).then(() => ended.push(kind));
    });
    await Promise.all(replies);
    expect(ended.indexOf('slow')).toBe(39);
  });

  test('CPU-bound scorings run one after another', async () => {
    const { score } = await start();
    expect(await details('crowd', many(12, { act: 'burn-on', ms: 2 }).map(score))).toEqual(Array(12).fill(1));
  });
});

test('a scorer that declares `waits: false` runs one scoring at a time, even when quick ones are grouped', async () => {
  const { score } = await start({
    scorerModule: fileURLToPath(new URL('../../fixtures/lone-scorer.ts', import.meta.url)),
  });
  await Promise.all(many(200, {}).map(score));
  expect(await details('crowd', many(20, { act: 'wait', ms: 20 }).map(score))).toEqual(Array(20).fill(1));
});

describe('a scoring that takes too long', () => {
  test('and honours the abort costs only its own attempt', async () => {
    const { score } = await start();
    const company = many(5, { act: 'wait', ms: 1_000 }).map(score);
    const late = score(body({ act: 'wait', ms: 60_000 }));
    expect(await outcomes([late, ...company])).toEqual(['SCORING_TIMEOUT', ...Array(5).fill('scored')]);
    // The same thread goes on: its attempt count is still there.
    const again = body({});
    expect(await details('attempt', [score(again)])).toEqual([1]);
    expect(await details('attempt', [score(again)])).toEqual([2]);
  });

  test('is the only one whose signal fires: others in its group that finished in time are left alone', async () => {
    const { score } = await start({ timeoutMs: 300 });
    await Promise.all(many(200, {}).map(score)); // from here on quick ones go together
    const radio = new BroadcastChannel('obedient-scorer');
    const heard: string[] = [];
    radio.onmessage = ({ data }) => heard.push(String(data));
    const listening = { act: 'listen-on' };
    const replies = [
      ...many(10, listening).map(score),
      score(body({ act: 'wait', ms: 60_000 })),
      ...many(10, listening).map(score),
    ];
    expect((await outcomes(replies)).filter((outcome) => outcome !== 'scored')).toEqual(['SCORING_TIMEOUT']);
    expect(await outcomes(many(5, { act: 'wait', ms: 250 }).map(score))).toEqual(Array(5).fill('scored'));
    expect(heard).toEqual([]);
    radio.close();
  });

  test("is judged by its own waiting: another's CPU work before its answer is read costs it nothing", async () => {
    const { score } = await start({ timeoutMs: 2_000 });
    // The answer is sent while the thread is busy, and the deadline passes before it can be read.
    const radio = new BroadcastChannel('obedient-scorer');
    const burning = new Promise((resolve) => {
      radio.onmessage = resolve;
    });
    const asked = Promise.withResolvers<void>();
    const server = createServer(async (_request, response) => {
      asked.resolve();
      await burning;
      response.end('answer');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const waits = score(body({ act: 'fetch', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }));
    await asked.promise;
    const burns = score(body({ act: 'burn', ms: 2_100, say: 'burning' }));
    expect(await outcomes([waits, burns])).toEqual(['scored', 'scored']);
    radio.close();
    server.close();
  });

  test('and ignores it fails alone; its thread is replaced, and its late result is discarded', async () => {
    const { score } = await start();
    const again = body({});
    expect(await details('attempt', [score(again)])).toEqual([1]);
    const late = score(body({ act: 'deaf', ms: timeoutMs + 1_100 }));
    // The last of these are in flight in its thread when it is given up, and when its late result arrives.
    for (let round = 0; round < 3; round++) {
      const company = many(9, { act: 'wait', ms: 1_000 }).map(score);
      expect(await outcomes(company)).toEqual(Array(9).fill('scored'));
    }
    expect(await outcomes([late])).toEqual(['SCORING_TIMEOUT']);
    // A different thread, which has not seen this one yet.
    expect(await details('attempt', [score(again)])).toEqual([1]);
  });

  test('in an endless loop is identified if its call never returned: the others rerun together', async () => {
    const { score } = await start();
    const company = many(9, { act: 'wait', ms: 1_000 }).map(score);
    const late = score(body({ act: 'hang' }));
    expect(await outcomes([late, ...company])).toEqual(['SCORING_TIMEOUT', ...Array(9).fill('scored')]);
  });

  test('in an endless loop after it has waited is found among the others', async () => {
    const { score } = await start({ timeoutMs: 500 });
    const company = many(9, { act: 'wait', ms: 250 }).map(score);
    const late = score(body({ act: 'hang', after: 100 }));
    expect(await outcomes([late, ...company])).toEqual(['SCORING_TIMEOUT', ...Array(9).fill('scored')]);
  });
});

describe('a scoring that kills its thread costs its own attempt and no other', () => {
  test.each([
    ['by process.exit', { act: 'exit', after: 100 }],
    ['by process.exit, at once', { act: 'exit' }],
    ['by memory', { act: 'eat', after: 100 }],
  ])('%s', async (_name, metadata) => {
    const { score } = await start();
    const company = many(9, { act: 'wait', ms: 600 }).map(score);
    const guilty = [score(body(metadata)), score(body(metadata))];
    const later = many(3, {}).map(score);
    expect(await outcomes([...guilty, ...company, ...later])).toEqual([
      ...Array(2).fill('SCORING_THREAD_DIED'),
      ...Array(12).fill('scored'),
    ]);
  });
});

test('if leftovers of an earlier scoring kill the thread, the current one reruns with no attempt used', async () => {
  const { score } = await start();
  expect(await outcomes([score(body({ act: 'litter', ms: 300 }))])).toEqual(['scored']);
  expect(await outcomes([score(body({ act: 'wait', ms: 1_000 }))])).toEqual(['scored']);
});

test('a scorer that posts to its parent reaches no listener', async () => {
  const { score } = await start();
  const waiting = many(3, { act: 'wait', ms: 300 }).map(score);
  expect(await outcomes([score(body({ act: 'chatter' })), ...waiting])).toEqual(Array(4).fill('scored'));
});

test('a thread that is still starting does not delay a stop', async () => {
  const stop = new AbortController();
  const never = fileURLToPath(new URL('../../fixtures/never-loaded-scorer.ts', import.meta.url));
  const starting = start({ scorerModule: never, stop: stop.signal });
  stop.abort();
  await expect(starting).rejects.toMatchObject({
    code: 'SCORER_MODULE',
    message: expect.stringContaining('stopped while it was loaded'),
  });
});

test('a thread that holds a sixteenth of its heap in bodies gets no more; one body may exceed that', async () => {
  const { score } = await start({ threadMemoryMb: 32 });
  const sizes = [1_100_000, 1_100_000, 1_100_000, 1_100_000, 3_000_000];
  const crowd = await details(
    'crowd',
    sizes.map((size) => score(body({ act: 'wait', ms: 100 }, 'x'.repeat(size)))),
  );
  expect(Math.max(...crowd)).toBe(2);
});

test("a scorer's timers keep running between scorings", async () => {
  const { score } = await start();
  const radio = new BroadcastChannel('obedient-scorer');
  const heard = new Promise((resolve) => {
    radio.onmessage = ({ data }) => resolve(data);
  });
  expect(await outcomes([score(body({ act: 'later', ms: 200 }))])).toEqual(['scored']);
  expect(await heard).toBe('later');
  radio.close();
});

test('closing aborts running scorings, and rejects them and those waiting behind them', async () => {
  const { score, close } = await start();
  const radio = new BroadcastChannel('obedient-scorer');
  const heard: string[] = [];
  radio.onmessage = ({ data }) => heard.push(String(data));
  const running = many(3, { act: 'listen' }).map(score);
  await Promise.all(many(5, {}).map(score));
  const replies = Promise.allSettled([...running, ...many(5, { act: 'burn', ms: 100 }).map(score)]);
  await close();
  expect(await replies).toEqual(
    Array(8).fill({ status: 'rejected', reason: expect.objectContaining({ kind: 'transient', code: 'POOL_CLOSED' }) }),
  );
  await vi.waitFor(() => expect(heard).toEqual(Array(3).fill('AbortError')));
  radio.close();
  await expect(score(body({}))).rejects.toMatchObject({ code: 'POOL_CLOSED' });
});

test('a module that is not a scorer is refused by name', async () => {
  await expect(start({ scorerModule: fileURLToPath(import.meta.url) })).rejects.toMatchObject({
    kind: 'permanent',
    code: 'SCORER_MODULE',
  });
});
