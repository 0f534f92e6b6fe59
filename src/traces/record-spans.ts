import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  isSpanContextValid,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { parseTraceParent, W3CTraceContextPropagator } from '@opentelemetry/core';
import { parseEventId } from '../event/event.ts';
import { type Headers, spans } from '../runtime/spans.ts';
import type { Answer } from '../runtime/telemetry.ts';
import type { ChosenIds } from './chosen-ids.ts';

/** What a span needs at its end that the SDK does not keep. */
type Begun = {
  readonly span: Span;
  readonly parent: Context;
  readonly name: string;
  readonly options: SpanOptions & { readonly attributes: Attributes; readonly startTime: number };
};

const w3c = new W3CTraceContextPropagator();
const failures: ReadonlySet<string> = new Set(['retry', 'failed', 'bug', 'requeued', 'unknown-event', 'not-ours']);

/**
 * Makes spans of what the pipeline tells of itself.
 *
 * One trace goes from a request to the acknowledgement of its first delivery. What happens to an event again (a retry,
 * another delivery, what a relay publishes) is a trace of its own, linked to the one before: a retry may run hours
 * later, and a trace has to end some time.
 *
 * Names of attributes and spans are OpenTelemetry's conventions for HTTP and messaging; ours begin with `afterword.`.
 * No paths and no ids of users or conversations: callers choose those, and may put anything there.
 *
 * @returns the ids of the span in which the caller runs, for its log lines.
 */
export function recordSpans(options: {
  readonly tracer: Tracer;
  readonly ids: ChosenIds;
  readonly queueName: string;
}): () => Readonly<Record<string, string>> {
  const { tracer, ids, queueName } = options;
  const active = new AsyncLocalStorage<Span>({ name: 'span' });
  const begun = new WeakMap<object, Begun>();
  const messaging = { 'messaging.system.name': 'rabbitmq', 'messaging.destination.name': queueName };

  function begin(
    about: object,
    name: string,
    { parent = here(), ...given }: SpanOptions & { readonly parent?: Context },
  ): Span {
    const withTime = { ...given, attributes: given.attributes ?? {}, startTime: Date.now() };
    const span = tracer.startSpan(name, withTime, parent);
    begun.set(about, { span, parent, name, options: withTime });
    return span;
  }

  /** @param failure  what went wrong; null if nothing did. */
  function end(about: object, failure: string | null, attributes: Attributes = {}): Begun | null {
    const one = begun.get(about);
    if (one === undefined) return null;
    if (failure === null) one.span.setAttributes(attributes).end();
    else endFailed(one, failure, attributes);
    return one;
  }

  /** A failure is recorded even if its trace is not sampled: alone, without what happened inside. */
  function endFailed({ span, parent, name, options }: Begun, failure: string, attributes: Attributes): void {
    const { traceId, spanId } = span.spanContext();
    const made = { ...options, attributes: { ...options.attributes, 'error.type': failure } };
    const recorded = span.isRecording()
      ? span.setAttribute('error.type', failure)
      : ids.using({ traceId, spanId }, () => tracer.startSpan(name, made, parent));
    recorded.setAttributes(attributes).setStatus({ code: SpanStatusCode.ERROR }).end();
  }

  function here(): Context {
    const span = active.getStore();
    return span === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, span);
  }

  spans.request.listen(
    active,
    (about) => {
      const attributes = { 'http.request.method': about.method };
      return begin(about, about.method, { kind: SpanKind.SERVER, parent: contextIn(about.headers), attributes });
    },
    (about) => {
      const { method, route, status } = about;
      if (typeof route === 'string') begun.get(about)?.span.updateName(`${method} ${route}`);
      end(about, status !== undefined && status >= 500 ? String(status) : null, {
        ...(status === undefined ? { 'error.type': 'client_gone' } : { 'http.response.status_code': status }),
        ...(typeof route === 'string' && { 'http.route': route }),
      });
    },
  );

  spans.accept.listen(
    active,
    (about) => {
      const attributes = { 'afterword.event.id': about.eventId };
      const request = active.getStore();
      const span = begin(about, 'accept', { attributes });
      about.traceparent = headerOf((request ?? span).spanContext());
      return span;
    },
    (about) => {
      const { kind } = (about.result ?? {}) as { readonly kind?: string };
      end(about, failureOf(about.error), kind === undefined ? {} : { 'afterword.accept.result': kind });
    },
  );

  spans.publish.listen(
    active,
    (about) => {
      const span = begin(about, `publish ${queueName}`, {
        kind: SpanKind.PRODUCER,
        links: active.getStore() === undefined ? linksTo(parseTraceParent(about.traceparent ?? '')) : [],
        attributes: {
          ...messaging,
          'messaging.operation.name': 'publish',
          'messaging.operation.type': 'send',
          'messaging.message.id': about.eventId,
        },
      });
      w3c.inject(trace.setSpan(ROOT_CONTEXT, span), about.headers, defaultTextMapSetter);
      return span;
    },
    (about) => {
      // A broker that is away fails every publish, and the relay repeats them: no reason to record what is not sampled.
      const isRecording = begun.get(about)?.span.isRecording() ?? false;
      end(about, isRecording ? failureOf(about.error) : null);
    },
  );

  spans.process.listen(
    active,
    (about) => {
      const sent = contextIn(about.headers);
      return begin(about, `process ${queueName}`, {
        kind: SpanKind.CONSUMER,
        parent: about.redelivered ? ROOT_CONTEXT : sent,
        links: about.redelivered ? linksTo(trace.getSpanContext(sent) ?? null) : [],
        attributes: {
          ...messaging,
          'messaging.operation.name': 'process',
          'messaging.operation.type': 'process',
          'messaging.message.body.size': about.bytes,
          'afterword.redelivered': about.redelivered,
          // Of our own messages; anything else that is sent to the queue may have anything there.
          ...(parseEventId(about.messageId) !== null && { 'messaging.message.id': about.messageId }),
        },
      });
    },
    (about) => {
      const { answer } = about;
      const one = begun.get(about);
      // Without an answer the delivery was given back at the end of a drain.
      if (one === undefined) return;
      if (answer !== undefined) recordAck(one.span, answer);
      end(about, failureIn(answer ?? { as: 'requeued' }), { 'afterword.outcome': answer?.as ?? 'requeued' });
    },
  );

  function recordAck(parent: Span, answer: Answer): void {
    const verb = 'verb' in answer && answer.verb === 'ack' ? 'ack' : 'nack';
    const attributes = { ...messaging, 'messaging.operation.name': verb, 'messaging.operation.type': 'settle' };
    tracer
      .startSpan(`${verb} ${queueName}`, { kind: SpanKind.CLIENT, attributes }, trace.setSpan(ROOT_CONTEXT, parent))
      .end();
  }

  for (const step of ['load', 'settle'] as const) {
    spans[step].listen(
      active,
      (about) => begin(about, step, {}),
      (about) => void end(about, failureOf(about.error)),
    );
  }

  spans.take.listen(
    active,
    (about) => begin(about, 'take', {}),
    (about) => void end(about, failureOf(about.error), { 'afterword.source': about.source }),
  );
  spans.reply.listen(
    active,
    (about) => begin(about, 'reply', {}),
    (about) => void end(about, failureOf(about.error) ?? failureOfReply(about.result)),
  );
  spans.sync.listen(
    active,
    (about) => begin(about, 'sync', { attributes: { 'afterword.messages': about.messages } }),
    (about) => void end(about, failureOf(about.error)),
  );

  /** Given to the scorer before the thread's span is made. */
  const threadSpans = new WeakMap<object, SpanContext>();
  spans.score.listen(
    active,
    (about) => {
      const span = begin(about, 'score', {});
      const inThread = { ...span.spanContext(), spanId: ids.generateSpanId() };
      threadSpans.set(about, inThread);
      w3c.inject(trace.setSpanContext(ROOT_CONTEXT, inThread), about.headers, defaultTextMapSetter);
      return span;
    },
    (about) => {
      const failure = failureOf(about.error) ?? failureOfScore(about.result);
      const one = end(about, failure);
      const inThread = threadSpans.get(about);
      if (one === null || inThread === undefined || about.ran === undefined) return;
      const { beganAt, tookMs } = about.ran;
      // As the score's own span: what failed unsampled is recorded there, alone.
      const attributes = failure !== null && isSampled(inThread) ? { 'error.type': failure } : {};
      ids
        .using({ spanId: inThread.spanId }, () =>
          tracer.startSpan(
            'score in thread',
            { startTime: beganAt, attributes },
            trace.setSpan(ROOT_CONTEXT, one.span),
          ),
        )
        .end(beganAt + tookMs);
    },
  );

  return () => {
    const context = active.getStore()?.spanContext();
    return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId };
  };
}

function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) !== 0;
}

function contextIn(headers: Headers): Context {
  return w3c.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
}

function headerOf(context: SpanContext): string {
  const headers: { traceparent?: string } = {};
  w3c.inject(trace.setSpanContext(ROOT_CONTEXT, context), headers, defaultTextMapSetter);
  return headers.traceparent ?? '';
}

function linksTo(context: SpanContext | null): Link[] {
  return context !== null && isSpanContextValid(context) ? [{ context }] : [];
}

function failureOf(error: unknown): string | null {
  if (error === undefined) return null;
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' ? code : 'UNKNOWN';
}

function failureIn(answer: Answer): string | null {
  if (!failures.has(answer.as)) return null;
  return 'code' in answer && answer.code !== null ? answer.code : answer.as;
}

function failureOfScore(result: unknown): string | null {
  const { kind, code } = (result ?? {}) as { readonly kind?: string; readonly code?: string | null };
  return kind === 'failed' || kind === 'lost' ? (code ?? 'SCORING_THREAD_DIED') : null;
}

function failureOfReply(result: unknown): string | null {
  const { code } = (result ?? {}) as { readonly code?: string };
  return code ?? null;
}
