import { expect, test } from 'vitest';
import { disableAfterMs, judgeAttempt, maxAttempts } from '../../../src/webhooks/judge.ts';

const hour = 3_600_000;
const refused = { status: 500, retryAfterMs: 0 };
const judge = (
  attempts: number,
  outcome: { readonly status?: number | null; readonly retryAfterMs?: number } = {},
  failingMs = 0,
) => judgeAttempt({ ...refused, ...outcome }, attempts, failingMs, () => 0);

test('the waits of Standard Webhooks, up to a day, and then it has failed', () => {
  const waits = Array.from({ length: maxAttempts - 1 }, (_, i) => judge(i + 1));
  expect(waits.map((verdict) => verdict.kind === 'retry' && verdict.delayMs / 1_000)).toEqual([
    ...[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
  ]);
  expect(judge(maxAttempts)).toEqual({ kind: 'failed' });
});

test.each([200, 201, 204, 299])('%i is a success, at any attempt', (status) =>
  expect(judge(maxAttempts, { status })).toEqual({ kind: 'delivered' }),
);

test.each([null, 100, 199, 300, 301, 307, 308, 400, 401, 404, 429, 500, 503])('%s is none', (status) =>
  expect(judge(1, { status }).kind).toBe('retry'),
);

test('410 disables at once', () => expect(judge(1, { status: 410 })).toMatchObject({ kind: 'disable' }));

test('failing for five days disables an endpoint, but not before a delivery has had all its attempts', () => {
  // Its last failure may be long ago, and nothing has come since.
  expect(judge(1, {}, 2 * disableAfterMs).kind).toBe('retry');
  expect(judge(maxAttempts, {}, disableAfterMs - 1)).toEqual({ kind: 'failed' });
  expect(judge(maxAttempts, {}, disableAfterMs)).toMatchObject({ kind: 'disable' });
  expect(judge(maxAttempts, { status: 200 }, disableAfterMs)).toEqual({ kind: 'delivered' });
});

test('a receiver may ask for more time, but not for more than a day', () => {
  expect(judge(1, { retryAfterMs: 2 * hour })).toEqual({ kind: 'retry', delayMs: 2 * hour });
  expect(judge(1, { retryAfterMs: 1 })).toEqual({ kind: 'retry', delayMs: 5_000 });
  expect(judge(1, { retryAfterMs: 1_000 * hour })).toEqual({ kind: 'retry', delayMs: 24 * hour });
});
