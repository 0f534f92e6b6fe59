import { type Attributes, DiagLogLevel, diag, type Tracer } from '@opentelemetry/api';
import { setGlobalErrorHandler } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger } from '../runtime/log.ts';
import { settlesWithin } from '../runtime/wait.ts';
import { ChosenIds } from './chosen-ids.ts';
import { createSampler } from './sampler.ts';
import type { TraceSettings } from './settings.ts';

/** A collector that does not answer must not hold up the end of a process. */
const shutdownMs = 2_000;
/** The SDK repeats its complaints with every batch. */
const quietMs = 60_000;

/** Sets the SDK up. The exporter reads its own variables (`OTEL_EXPORTER_OTLP_*`). */
export function createProvider(
  settings: TraceSettings,
  service: { readonly attributes: Attributes; readonly version: string },
  log: Logger,
): { readonly tracer: Tracer; readonly ids: ChosenIds; close(): Promise<void> } {
  diag.setLogger(sdkLogger(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  // What the exporter could not send is reported below.
  setGlobalErrorHandler(() => {});
  const ids = new ChosenIds();
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes(service.attributes))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: createSampler(settings.sampler),
    idGenerator: ids,
    spanProcessors: [new BatchSpanProcessor({ exporter: reporting(new OTLPTraceExporter(), log), ...settings.batch })],
  });
  return {
    tracer: provider.getTracer('afterword', service.version),
    ids,
    close: async () => {
      await settlesWithin(
        provider.shutdown().catch(() => {}),
        shutdownMs,
      );
    },
  };
}

/** Says once that traces are lost, and once that they are not any more. */
function reporting(exporter: SpanExporter, log: Logger): SpanExporter {
  let isLosing = false;
  return {
    export(batch, done) {
      exporter.export(batch, (result) => {
        const failed = result.code !== 0;
        if (failed && !isLosing) log.warn({ err: result.error }, 'the collector does not take traces; they are lost');
        if (!failed && isLosing) log.info('the collector takes traces again');
        isLosing = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

function sdkLogger(log: Logger) {
  const last = new Map<string, number>();
  const say = (message: string) => {
    const now = performance.now();
    const kind = message.replace(/\d+/g, '');
    if (now - (last.get(kind) ?? Number.NEGATIVE_INFINITY) < quietMs) return;
    last.set(kind, now);
    log.warn(`OpenTelemetry: ${message}`);
  };
  const nothing = () => {};
  return { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing };
}
