import { expect, test } from 'vitest';
import { mergeMetrics } from '../../../src/metrics/merge.ts';

const text = (n: number) => `# HELP a_total How often.
# TYPE a_total counter
a_total{code="x y"} ${n}

# HELP b Seconds.
# TYPE b histogram
b_bucket{le="+Inf"} ${n}
b_sum 0.5
b_count ${n}
`;

test('families of all members come together, and each series says whose it is', () => {
  const merged = mergeMetrics(
    new Map([
      ['api', text(1)],
      ['worker-1', text(2)],
    ]),
  );
  expect(merged).toBe(`# HELP a_total How often.
# TYPE a_total counter
a_total{member="api",code="x y"} 1
a_total{member="worker-1",code="x y"} 2
# HELP b Seconds.
# TYPE b histogram
b_bucket{member="api",le="+Inf"} 1
b_sum{member="api"} 0.5
b_count{member="api"} 1
b_bucket{member="worker-1",le="+Inf"} 2
b_sum{member="worker-1"} 0.5
b_count{member="worker-1"} 2
`);
});

test('nobody answers: nothing', () => {
  expect(mergeMetrics(new Map())).toBe('');
});
