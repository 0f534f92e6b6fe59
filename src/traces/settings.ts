/** What the standard variables of OpenTelemetry ask for, as far as it is not the exporter's own business. */
export type TraceSettings = {
  readonly sampler: {
    readonly name: 'always_on' | 'always_off' | 'traceidratio';
    /** Share of the traces that begin here, 0 to 1. */
    readonly ratio: number;
    /** A trace that began elsewhere keeps the decision that was made there. */
    readonly isParentBased: boolean;
  };
  /** Not set: the SDK's default. Milliseconds and spans. */
  readonly batch: {
    readonly scheduledDelayMillis?: number;
    readonly exportTimeoutMillis?: number;
    readonly maxQueueSize?: number;
    readonly maxExportBatchSize?: number;
  };
};

/** Spans held while a collector is away, and milliseconds between batches. */
const mostOf = 1_000_000;
const samplers = /^(?:parentbased_)?(?:always_on|always_off|traceidratio)$/;

/**
 * Reads the environment without loading anything of OpenTelemetry.
 *
 * As the specification wants, a value that is not understood is reported and ignored: the variables are often set for
 * all programs of a host.
 *
 * @returns `settings`: null if there should be no traces.
 */
export function readTraceSettings(env: NodeJS.ProcessEnv): {
  readonly settings: TraceSettings | null;
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const get = (name: string) => env[name]?.trim() || undefined;
  if (get('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || !isWanted(get, problems))
    return { settings: null, problems };

  function size(name: string): number | undefined {
    const text = get(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (Number.isInteger(value) && value > 0 && value <= mostOf) return value;
    problems.push(`${name} must be a whole number from 1 to ${mostOf}; it is ignored`);
    return undefined;
  }
  const batch = {
    scheduledDelayMillis: size('OTEL_BSP_SCHEDULE_DELAY'),
    exportTimeoutMillis: size('OTEL_BSP_EXPORT_TIMEOUT'),
    maxQueueSize: size('OTEL_BSP_MAX_QUEUE_SIZE'),
    maxExportBatchSize: size('OTEL_BSP_MAX_EXPORT_BATCH_SIZE'),
  };
  const given = Object.fromEntries(Object.entries(batch).filter(([, value]) => value !== undefined));
  return { settings: { sampler: samplerOf(get, problems), batch: given }, problems };
}

type Get = (name: string) => string | undefined;

function isWanted(get: Get, problems: string[]): boolean {
  const exporter = get('OTEL_TRACES_EXPORTER');
  const endpoint = get('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? get('OTEL_EXPORTER_OTLP_ENDPOINT');
  if (exporter === 'none' || (exporter === undefined && endpoint === undefined)) return false;
  if (exporter !== undefined && exporter !== 'otlp') {
    problems.push('OTEL_TRACES_EXPORTER must be otlp or none; no traces are sent');
    return false;
  }
  const protocol = get('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? get('OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/protobuf';
  if (protocol === 'http/protobuf') return true;
  problems.push(
    `traces are sent as http/protobuf only, not ${protocol}: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf, ` +
      'and the endpoint to that port of the collector (usually 4318); until then no traces are sent',
  );
  return false;
}

function samplerOf(get: Get, problems: string[]): TraceSettings['sampler'] {
  const text = get('OTEL_TRACES_SAMPLER') ?? 'parentbased_always_on';
  const isKnown = samplers.test(text);
  if (!isKnown) problems.push('OTEL_TRACES_SAMPLER is not a sampler of the specification; every trace is sampled');
  const name = isKnown ? text.replace('parentbased_', '') : 'always_on';
  const isParentBased = !isKnown || text.startsWith('parentbased_');
  return { name: name as 'always_on', ratio: ratioOf(get, problems), isParentBased };
}

function ratioOf(get: Get, problems: string[]): number {
  const text = get('OTEL_TRACES_SAMPLER_ARG');
  const ratio = Number(text ?? 1);
  if (ratio >= 0 && ratio <= 1) return ratio;
  problems.push('OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1; every trace is sampled');
  return 1;
}
