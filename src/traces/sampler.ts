import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import type { TraceSettings } from './settings.ts';

/**
 * The sampler of `OTEL_TRACES_SAMPLER`, and every failure besides: a span that has an `error.type` when it is made is
 * one that was not sampled and has failed (see record-spans.ts).
 */
export function createSampler({ name, ratio, isParentBased }: TraceSettings['sampler']): Sampler {
  const root = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }[name]();
  const asked = isParentBased ? new ParentBasedSampler({ root }) : root;
  return {
    shouldSample(context, traceId, spanName, kind, attributes, links) {
      if (attributes['error.type'] !== undefined) return { decision: SamplingDecision.RECORD_AND_SAMPLED };
      return asked.shouldSample(context, traceId, spanName, kind, attributes, links);
    },
    toString: () => `${asked}, failures`,
  };
}
