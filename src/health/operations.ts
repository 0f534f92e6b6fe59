import * as z from 'zod';
import { answerFields, type Operation } from '../runtime/http/operation.ts';

const readiness = z.record(z.string(), z.string()).meta({ description: '`status`, and what it depends on.' });
const tag = 'Service';

/** Also served on METRICS_PORT, without a key. */
export const healthOperations: readonly Operation[] = [
  {
    id: 'isAlive',
    method: 'get',
    path: '/healthz',
    scope: null,
    tag,
    summary: 'The process is alive',
    answers: { 200: { what: 'It is.', content: { schema: z.object({ status: z.literal('ok') }) } } },
  },
  {
    id: 'isReady',
    method: 'get',
    path: '/readyz',
    scope: null,
    tag,
    summary: 'Ready for traffic',
    answers: {
      200: { what: 'It should.', content: { schema: readiness } },
      503: { what: 'It should not.', content: { schema: readiness } },
    },
  },
  {
    id: 'getDetails',
    method: 'get',
    path: '/health/detailed',
    scope: 'operate',
    tag,
    summary: 'Detailed health, for people',
    answers: { 200: { what: 'The details.', content: { schema: answerFields.object } } },
  },
  {
    id: 'getMetrics',
    method: 'get',
    path: '/metrics',
    scope: 'operate',
    tag,
    summary: 'Metrics for Prometheus',
    answers: { 200: { what: 'The metrics.', content: { schema: z.string(), type: 'text/plain' } } },
  },
];
