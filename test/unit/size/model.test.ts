import { describe, expect, test } from 'vitest';
import { fitLatency, fitUsl, fitWorking, latencyAt, shareFor, type Trial, uslRate } from '../../../src/size/model.ts';

const trial = (workers: number, concurrency: number, rate: number): Trial => ({
  workers,
  concurrency,
  threads: 2,
  rate,
  busy: 0.9,
  workerMiB: 100,
});

describe('universal scalability law', () => {
  test('the parameters that generated the points are recovered', () => {
    const law = { lambda: 300, sigma: 0.05, kappa: 0.0002 };
    const found = fitUsl([1, 5, 10, 50].map((n) => ({ n, rate: uslRate(law, n) })));
    expect(found.lambda).toBeCloseTo(law.lambda, 6);
    expect(found.sigma).toBeCloseTo(law.sigma, 8);
    expect(found.kappa).toBeCloseTo(law.kappa, 10);
  });

  test('superlinear points do not yield a negative share', () => {
    const found = fitUsl([
      { n: 1, rate: 100 },
      { n: 10, rate: 1_100 },
      { n: 50, rate: 6_000 },
    ]);
    expect(found.sigma).toBeGreaterThanOrEqual(0);
    expect(found.kappa).toBeGreaterThanOrEqual(0);
    expect(found.lambda).toBeGreaterThan(0);
  });

  test('a rate that falls off peaks between the points', () => {
    const law = fitUsl([
      { n: 1, rate: 100 },
      { n: 10, rate: 500 },
      { n: 50, rate: 300 },
    ]);
    expect(uslRate(law, 15)).toBeGreaterThan(500);
    expect(uslRate(law, 200)).toBeLessThan(uslRate(law, 50));
  });

  test('one point is a line', () => {
    expect(uslRate(fitUsl([{ n: 4, rate: 400 }]), 8)).toBeCloseTo(800, 6);
  });
});

describe('workers side by side', () => {
  const model = fitWorking([
    trial(1, 2, 600),
    trial(1, 10, 2_000),
    trial(1, 50, 4_000),
    trial(4, 10, 2_400),
    trial(4, 50, 3_600),
  ]);

  test('it reproduces what was measured', () => {
    expect(model.rate(1, 10)).toBe(2_000);
    expect(model.rate(4, 10)).toBeCloseTo(2_400, 6);
    expect(model.rate(4, 50)).toBeCloseTo(3_600, 6);
  });

  test('between measured settings it lies between their rates', () => {
    expect(model.rate(2, 10)).toBeGreaterThan(2_000);
    expect(model.rate(2, 10)).toBeLessThan(2_400);
    expect(model.rate(1, 20)).toBeGreaterThan(2_000);
    expect(model.rate(1, 20)).toBeLessThan(4_000);
    const sigmas = model.sharing.map((s) => s.sigma);
    expect(sigmas).toHaveLength(2);
    expect(sigmas.every((s) => s >= 0)).toBe(true);
  });

  test('extrapolating to more workers never predicts more than linear scaling', () => {
    for (const c of [1, 5, 10, 20, 50, 100]) expect(model.rate(8, c)).toBeLessThanOrEqual(8 * model.rate(1, c));
  });
});

describe('latency by utilisation', () => {
  const law = fitLatency({ share: 0.3, ms: 20 }, { share: 0.6, ms: 35 });

  test('goes through both points and grows without bound towards full utilisation', () => {
    expect(latencyAt(law, 0.3)).toBeCloseTo(20, 6);
    expect(latencyAt(law, 0.6)).toBeCloseTo(35, 6);
    expect(latencyAt(law, 0.99)).toBeGreaterThan(500);
  });

  test('the share for a wanted p99 is the one that gives it, at most 0.85; an unattainable one has none', () => {
    expect(shareFor(law, 35)).toBeCloseTo(0.6, 6);
    expect(shareFor(law, 100_000)).toBe(0.85);
    expect(shareFor(law, 1)).toBe(0);
  });

  test('a second run that happened to be faster does not invert the law', () => {
    const odd = fitLatency({ share: 0.3, ms: 40 }, { share: 0.6, ms: 30 });
    expect(latencyAt(odd, 0.9)).toBe(40);
    expect(shareFor(odd, 40)).toBe(0.85);
  });
});
