import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import * as conventions from '@opentelemetry/semantic-conventions/incubating';
import { beforeEach, expect, test } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import { spans } from '../../../src/runtime/spans.ts';
import { ChosenIds } from '../../../src/traces/chosen-ids.ts';
import { recordSpans } from '../../../src/traces/record-spans.ts';
import { createSampler } from '../../../src/traces/sampler.ts';

const exporter = new InMemorySpanExporter();
const ids = new ChosenIds();
const sampler = createSampler({ name: 'traceidratio', ratio: 1, isParentBased: true });
const provider = new TracerProvider({
  sampler,
  idGenerator: ids,
  spanProcessors: [new SimpleSpanProcessor({ exporter })],
});
const currentIds = recordSpans({ tracer: provider.getTracer('test'), ids, queueName: 'q' });

beforeEach(() => exporter.reset());
const made = () => exporter.getFinishedSpans();

const traceId = 'aaaabbbbccccddddeeeeffff00001111';
const headers = { traceparent: `00-${traceId}-1234567890abcdef-01` };
const eventId = '01980000-0000-7000-8000-000000000001' as EventId;
const delivery = (more: { redelivered?: boolean; headers?: Record<string, unknown> } = {}) => ({
  messageId: eventId,
  bytes: 1,
  redelivered: false,
  headers,
  ...more,
});

test('a delivery continues the trace of its message; one that was delivered before is linked to it', async () => {
  await spans.process.around(delivery(), async () => {});
  await spans.process.around(delivery({ redelivered: true }), async () => {});
  const [first, again] = made();
  expect(first?.spanContext().traceId).toBe(traceId);
  expect(first?.links).toEqual([]);
  expect(again?.spanContext().traceId).not.toBe(traceId);
  expect(again?.links.map((link) => link.context.traceId)).toEqual([traceId]);
});

test('a delivery that begins at the end of another is not part of it', async () => {
  let next: Promise<void> | undefined;
  await spans.process.around(delivery({ headers: {} }), async () => {
    next = spans.process.around(delivery({ headers: {} }), async () => {});
  });
  await next;
  const traces = new Set(made().map((span) => span.spanContext().traceId));
  expect(traces.size).toBe(2);
  for (const span of made()) expect(span.parentSpanContext).toBeUndefined();
});

test.each([
  {},
  { traceparent: 'nonsense' },
  { traceparent: 7 },
  { traceparent: '00-00000000000000000000000000000000-0000000000000000-01' },
])('a message without a usable trace begins one: %j', async (given) => {
  await spans.process.around(delivery({ headers: given }), async () => {});
  expect(made()).toHaveLength(1);
  expect(made()[0]?.parentSpanContext).toBeUndefined();
});

test('a publish adds its context to the message, a scoring that of its thread to what it calls', async () => {
  const message = { eventId, traceparent: null, headers: {} as Record<string, string> };
  await spans.publish.around(message, async () => {});
  const scoring: Parameters<typeof spans.score.around>[0] = { headers: {} };
  await spans.score.around(scoring, async () => {
    scoring.ran = { beganAt: Date.now(), tookMs: 5 };
  });
  const contextOf = (name: string) => {
    const context = made()
      .find((span) => span.name === name)
      ?.spanContext();
    return `00-${context?.traceId}-${context?.spanId}-01`;
  };
  expect(message.headers['traceparent']).toBe(contextOf('publish q'));
  expect(scoring.headers['traceparent']).toBe(contextOf('score in thread'));
});

test('a trace state of the caller goes on with its trace', async () => {
  const message = { eventId, traceparent: null, headers: {} as Record<string, string> };
  await spans.request.around({ method: 'POST', headers: { ...headers, tracestate: 'vendor=1' } }, () =>
    spans.publish.around(message, async () => {}),
  );
  expect(message.headers['tracestate']).toBe('vendor=1');
});

test('a failure that is not sampled is recorded under the ids that its log lines have', async () => {
  const unsampled = { traceparent: headers.traceparent.replace(/01$/, '00') };
  let logged: Readonly<Record<string, string>> = {};
  const about: Parameters<typeof spans.process.around>[0] = delivery({ headers: unsampled });
  await spans.process.around(about, async () => {
    logged = currentIds();
    await spans.load.around({}, async () => {});
    about.answer = { verb: 'ack', as: 'retry', code: 'SCORER_FAILED' };
  });
  expect(made()).toHaveLength(1);
  const [failure] = made();
  expect(failure?.attributes).toMatchObject({ 'error.type': 'SCORER_FAILED', 'afterword.outcome': 'retry' });
  expect(failure?.spanContext()).toMatchObject({ traceId: logged['trace_id'], spanId: logged['span_id'] });
});

test('a broker that is away fills no traces that are not sampled', async () => {
  const unsampled = { method: 'POST', headers: { traceparent: headers.traceparent.replace(/01$/, '00') } };
  await spans.request.around(unsampled, () =>
    spans.publish
      .around({ eventId, traceparent: null, headers: {} }, () => Promise.reject(new Error('away')))
      .catch(() => {}),
  );
  expect(made()).toEqual([]);
});

test('outside of a span there are no ids to log', () => {
  expect(currentIds()).toEqual({});
});

test('attributes have the names of the conventions that are current, or our own', async () => {
  const deprecated = new Set(['messaging.system', 'messaging.operation']);
  const known = new Set(Object.values(conventions).filter((value) => typeof value === 'string'));
  const about: Parameters<typeof spans.request.around>[0] = { method: 'POST', headers };
  await spans.request.around(about, async () => {
    about.status = 500;
    about.route = '/x';
    await spans.accept.around({ eventId, traceparent: null }, async () => ({ kind: 'new' }));
    await spans.publish.around({ eventId, traceparent: null, headers: {} }, async () => {});
  });
  const processing: Parameters<typeof spans.process.around>[0] = delivery();
  await spans.process.around(processing, async () => {
    processing.answer = { verb: 'dead-letter', as: 'failed', code: 'POISON' };
  });
  const names = new Set(made().flatMap((span) => Object.keys(span.attributes)));
  expect(names.size).toBeGreaterThan(10);
  for (const name of names) {
    expect(deprecated).not.toContain(name);
    if (!name.startsWith('afterword.')) expect(known).toContain(name);
  }
});

test('a request whose caller left has no status, and is no failure of ours', async () => {
  await spans.request.around({ method: 'GET', headers }, async () => {});
  const [request] = made();
  expect(request?.attributes).toEqual({ 'http.request.method': 'GET', 'error.type': 'client_gone' });
});
