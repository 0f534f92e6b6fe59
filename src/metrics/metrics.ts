import { Registry } from 'prom-client';
import {
  recordAnalysers,
  recordMaintenance,
  recordPhonemes,
  recordPipeline,
  recordSessions,
  recordWebhooks,
} from './pipeline-metrics.ts';
import { recordProcess, type Sources } from './process-metrics.ts';

export type Metrics = {
  /** Prometheus' text format. */
  render(): Promise<string>;
  readonly contentType: string;
  /** Of every metric, for the documentation. */
  readonly names: () => string[];
};

/** Starts counting. Once per process: what the pipeline tells goes to every listener. */
export function startMetrics(sources: Sources): Metrics {
  const registry = new Registry();
  recordPipeline(registry);
  if (sources.sessions) recordSessions(registry);
  if (sources.phonemes) recordPhonemes(registry);
  if (sources.hasWebhooks) recordWebhooks(registry);
  if (sources.hasMaintenance) recordMaintenance(registry);
  if (sources.hasAnalysers) recordAnalysers(registry);
  recordProcess(sources, [registry]);
  return {
    render: () => registry.metrics(),
    contentType: registry.contentType,
    names: () => registry.getMetricsAsArray().map(({ name }) => name),
  };
}
