import { expect, test } from 'vitest';
import { readTraceSettings } from '../../../src/traces/settings.ts';

const on = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
const everything = { name: 'always_on', ratio: 1, isParentBased: true };

test.each([
  {},
  { OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on' },
  { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
  { ...on, OTEL_SDK_DISABLED: 'TRUE' },
  { ...on, OTEL_TRACES_EXPORTER: 'none' },
])('no traces, and nothing to say about it: %j', (env) => {
  expect(readTraceSettings(env)).toEqual({ settings: null, problems: [] });
});

test.each([
  { OTEL_TRACES_EXPORTER: 'otlp' },
  on,
  { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4318/v1/traces' },
  { ...on, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/protobuf' },
])('traces are sent: %j', (env) => {
  expect(readTraceSettings(env)).toEqual({ settings: { sampler: everything, batch: {} }, problems: [] });
});

test.each([
  [{ ...on, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /http\/protobuf only, not grpc/],
  [{ OTEL_TRACES_EXPORTER: 'zipkin' }, /OTEL_TRACES_EXPORTER must be otlp or none/],
])('what cannot be sent is said, and there are no traces: %j', (env, problem) => {
  const { settings, problems } = readTraceSettings(env);
  expect(settings).toBeNull();
  expect(problems).toEqual([expect.stringMatching(problem)]);
});

test.each([
  ['always_off', undefined, { name: 'always_off', ratio: 1, isParentBased: false }],
  ['traceidratio', '0.25', { name: 'traceidratio', ratio: 0.25, isParentBased: false }],
  ['parentbased_traceidratio', '0', { name: 'traceidratio', ratio: 0, isParentBased: true }],
  ['parentbased_always_on', undefined, everything],
])('sampler %s with %s', (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, sampler) => {
  expect(readTraceSettings({ ...on, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG }).settings?.sampler).toEqual(sampler);
});

test('a value that is not understood is reported and ignored', () => {
  const { settings, problems } = readTraceSettings({
    ...on,
    OTEL_TRACES_SAMPLER: 'jaeger_remote',
    OTEL_TRACES_SAMPLER_ARG: '1.5',
    OTEL_BSP_MAX_QUEUE_SIZE: 'many',
    OTEL_BSP_SCHEDULE_DELAY: '100',
  });
  expect(settings).toEqual({ sampler: everything, batch: { scheduledDelayMillis: 100 } });
  expect(problems.map((text) => text.split(' ')[0])).toEqual([
    'OTEL_BSP_MAX_QUEUE_SIZE',
    'OTEL_TRACES_SAMPLER',
    'OTEL_TRACES_SAMPLER_ARG',
  ]);
});
