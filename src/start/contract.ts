import { accepted, acceptedHeaders, acceptOperations } from '../accept/index.ts';
import { contractOperations } from '../contract/index.ts';
import { diagnosticsOperations } from '../diagnostics/operations.ts';
import { erasureOperations } from '../erasure/index.ts';
import { healthOperations } from '../health/operations.ts';
import { operateOperations } from '../operate/index.ts';
import { pronunciationOperations } from '../pronunciation/operations.ts';
import { reportOperations } from '../report/index.ts';
import type { Operation } from '../runtime/http/index.ts';
import { webhookOperations } from '../webhooks/index.ts';

/**
 * Every endpoint of an API.
 * @param options.sessions  those of live sessions, if there are any.
 */
export function operationsOf(options: {
  readonly sessions: readonly Operation[];
  readonly hasDiagnostics: boolean;
  readonly hasStream: boolean;
}): Operation[] {
  return [
    ...acceptOperations,
    ...options.sessions,
    ...reportOperations.filter(({ id }) => options.hasStream || id !== 'streamEvents'),
    ...webhookOperations,
    ...pronunciationOperations,
    ...operateOperations,
    ...erasureOperations,
    ...healthOperations,
    ...(options.hasDiagnostics ? diagnosticsOperations : []),
    ...contractOperations,
  ];
}

/** Those of an API with everything that can be switched on: what the recorded document has. */
export async function everyOperation(): Promise<Operation[]> {
  const { sessionOperations } = await import('../sessions/index.ts');
  const sessions = sessionOperations({ body: accepted, headers: acceptedHeaders });
  return operationsOf({ sessions, hasDiagnostics: true, hasStream: true });
}
