import { hostname } from 'node:os';
import { correlateAlso, type Logger } from '../runtime/log.ts';
import { createProvider } from './provider.ts';
import { recordSpans } from './record-spans.ts';
import type { TraceSettings } from './settings.ts';

/** Records what the pipeline tells of itself as traces, and sends them, until `close`. */
export function startTraces(options: {
  readonly settings: TraceSettings;
  /** Of this process, such as `worker-2`. */
  readonly name: string;
  readonly version: string;
  readonly queueName: string;
  readonly log: Logger;
}): { close(): Promise<void> } {
  const { name, version, log } = options;
  const attributes = {
    'service.name': 'afterword',
    'service.version': version,
    'service.instance.id': `${name}@${hostname()}:${process.pid}`,
  };
  const { tracer, ids, close } = createProvider(options.settings, { attributes, version }, log);
  correlateAlso(recordSpans({ tracer, ids, queueName: options.queueName }));
  return { close };
}
