import { expect, test } from 'vitest';
import { laneRates } from '../../../src/size/lane-rates.ts';

const weights = { high: 6, normal: 3, low: 1 };

test('lanes get what their weights say, of those that are served', () => {
  expect(laneRates(1_000, weights, ['high', 'normal', 'low'])).toEqual([
    { lane: 'high', share: 0.6, drain: 600 },
    { lane: 'normal', share: 0.3, drain: 300 },
    { lane: 'low', share: 0.1, drain: 100 },
  ]);
  expect(laneRates(1_000, weights, ['low', 'normal'])).toEqual([
    { lane: 'normal', share: 0.75, drain: 750 },
    { lane: 'low', share: 0.25, drain: 250 },
  ]);
});
