import type { Metric, Registry } from 'prom-client';

/**
 * Counters and histograms for what happens with every event. prom-client looks its labels up at each call, which for
 * seven histograms costs 6 % of an event's CPU; here a series is found once, and counting is an addition
 * (docs/decisions/0020). prom-client's registry asks for the values when it is scraped.
 */
type Labels = Readonly<Record<string, string>>;

/** What prom-client's registry asks of a metric. */
type Value = { readonly labels: Labels; readonly value: number; readonly metricName: string };
type Definition = { readonly name: string; readonly help: string };

function register(registry: Registry, { name, help }: Definition, type: string, values: () => Value[]): void {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
  };
  registry.registerMetric(metric as unknown as Metric);
}

/** @returns a function that finds a series by its label values, in the order of `labelNames`. */
function seriesOf<S>(labelNames: readonly string[], create: () => S) {
  const all = new Map<string, { readonly labels: Labels; readonly series: S }>();
  return {
    all,
    find(values: readonly string[]): S {
      const key = values.length === 1 ? (values[0] ?? '') : values.join('\u0000');
      let found = all.get(key);
      if (found === undefined) {
        const labels = Object.fromEntries(labelNames.map((name, i) => [name, values[i] ?? '']));
        found = { labels, series: create() };
        all.set(key, found);
      }
      return found.series;
    },
  };
}

type Counter = { inc(by?: number): void };

/** @returns the counter of these label values. Without labels, its series is there from the beginning. */
export function counterIn(registry: Registry, definition: Definition, labelNames: readonly string[]) {
  const { all, find } = seriesOf(labelNames, () => {
    let value = 0;
    return {
      inc(by = 1) {
        value += by;
      },
      read: () => value,
    };
  });
  register(registry, definition, 'counter', () =>
    [...all.values()].map(({ labels, series }) => ({ labels, value: series.read(), metricName: definition.name })),
  );
  if (labelNames.length === 0) find([]);
  return (...values: readonly string[]): Counter => find(values);
}

type Histogram = { observe(seconds: number): void };

/** @param buckets  upper bounds, ascending. @returns the histogram of these label values. */
export function histogramIn(
  registry: Registry,
  definition: Definition,
  labelNames: readonly string[],
  buckets: readonly number[],
) {
  const { name } = definition;
  const { all, find } = seriesOf(labelNames, () => {
    const counts = new Float64Array(buckets.length + 1);
    let sum = 0;
    return {
      observe(value: number) {
        let i = 0;
        while (i < buckets.length && value > (buckets[i] ?? 0)) i++;
        counts[i] = (counts[i] ?? 0) + 1;
        sum += value;
      },
      read: () => ({ counts, sum }),
    };
  });
  register(registry, definition, 'histogram', () =>
    [...all.values()].flatMap(({ labels, series }) => {
      const { counts, sum } = series.read();
      let below = 0;
      const bounded = [...buckets.map(String), '+Inf'].map((le, i) => {
        below += counts[i] ?? 0;
        return { labels: { le, ...labels }, value: below, metricName: `${name}_bucket` };
      });
      return [
        ...bounded,
        { labels, value: sum, metricName: `${name}_sum` },
        { labels, value: below, metricName: `${name}_count` },
      ];
    }),
  );
  if (labelNames.length === 0) find([]);
  return (...values: readonly string[]): Histogram => find(values);
}
