import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { type Metrics, startMetrics } from '../../../src/metrics/index.ts';
import { telemetry } from '../../../src/runtime/telemetry.ts';

let metrics: Metrics;
let database: { oldestOpenAt: number | null; clockSkewMs: number } | null = { oldestOpenAt: null, clockSkewMs: 1_500 };
let broker: 'up' | 'down' | 'silent' = 'up';
beforeAll(() => {
  metrics = startMetrics({
    role: 'worker',
    version: '1.2.3',
    scorer: 'friendship',
    gauges: [{ name: 'reads_waiting', bound: 5_000, held: () => 7 }],
    connections: () => ({ waiting: 1, inUse: 2, limit: 10 }),
    deliveries: () => ({ inFlight: 3, prefetch: 10 }),
    lanes: () => [{ lane: 'high', slots: 6, held: 2 }],
    memory: { softBytes: 100, hardBytes: null },
    threads: () => ({ total: 2, busy: 1, waiting: 4 }),
    queues: () =>
      broker === 'silent'
        ? new Promise(() => {})
        : Promise.resolve(broker === 'up' ? [{ queue: 'main', messages: 5, consumers: 2 }] : null),
    hasAnalysers: true,
    hasWebhooks: true,
    hasMaintenance: true,
    replica: () => ({ isFresh: true, lagMs: 0 }),
    phonemes: () => ({ entries: 2, bytes: 500 }),
    sessions: async () => ({ sessions: 2, bytes: 300, oldest: new Date(Date.now() - 7_000) }),
    database: async () => {
      if (database === null) throw new Error('away');
      return database;
    },
  });
});

test('every metric is in docs/metrics.md, and no other', () => {
  const text = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const documented = [...text.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, name]) => name);
  // Of the fleet's own port.
  const ours = [...metrics.names().filter((name) => /^(?:afterword|messaging)_/.test(name)), 'afterword_member_up'];
  expect(documented.toSorted()).toEqual(ours.toSorted());
});

test('what the pipeline tells is counted', async () => {
  telemetry.accepted.tell({ result: 'new', ms: 12 });
  telemetry.committed.tell({ group: 'settle', items: 20, ms: 3, ok: true });
  telemetry.published.tell({ code: null, ms: 2 });
  telemetry.published.tell({ code: 'BROKER_DOWN', ms: 0 });
  telemetry.stepped.tell({ step: 'score', ms: 40 });
  const acceptedAt = Date.now() - 1_500;
  telemetry.answered.tell({ settled: { verb: 'ack', as: 'processed' }, isFirst: true, acceptedAt, ms: 1_000 });
  telemetry.answered.tell({
    settled: { verb: 'ack', as: 'retry', code: 'SCORER_FAILED' },
    isFirst: false,
    acceptedAt: null,
    ms: 1,
  });
  const text = await metrics.render();
  for (const line of [
    'afterword_accepts_total{result="new"} 1',
    'afterword_accept_duration_seconds_bucket{le="0.025"} 1',
    'afterword_batch_items_bucket{le="20",group="settle"} 1',
    'messaging_client_sent_messages_total{' +
      'messaging_system_name="rabbitmq",messaging_operation_name="publish",error_type="BROKER_DOWN"} 1',
    'afterword_step_duration_seconds_count{step="score"} 1',
    'afterword_deliveries_total{result="processed"} 1',
    'afterword_failures_total{result="retry",code="SCORER_FAILED"} 1',
    'afterword_end_to_end_seconds_bucket{le="2.5"} 1',
    'afterword_queue_wait_seconds_bucket{le="1"} 1',
    'afterword_in_flight 3',
    'afterword_scoring_threads{state="idle"} 1',
    'afterword_database_connections{state="waiting"} 1',
    'afterword_bounded_queue_items{queue="reads_waiting"} 7',
    'afterword_queue_messages{queue="main"} 5',
    'afterword_broker_up 1',
    'afterword_redis_up 1',
    'afterword_sessions_pending 2',
    'afterword_sessions_pending_bytes 300',
    'afterword_oldest_open_event_age_seconds 0',
    'afterword_database_clock_skew_seconds 1.5',
    'afterword_database_up 1',
    'afterword_build_info{version="1.2.3",role="worker",scorer="friendship"} 1',
  ])
    expect(text.split('\n')).toContain(line);
});

test('what cannot be asked is missing, and does not hold up the rest', async () => {
  broker = 'down';
  database = null;
  const away = await metrics.render();
  expect(away).toContain('afterword_broker_up 0');
  expect(away).toContain('afterword_database_up 0');
  expect(away).not.toMatch(/^afterword_(?:queue_messages|oldest_open_event_age_seconds)[ {]/m);
  broker = 'silent';
  expect(await metrics.render()).toContain('afterword_broker_up 0');
});

test('a scorer that invents codes makes no series without end', async () => {
  for (let i = 0; i < 10_000; i++) {
    telemetry.answered.tell({
      settled: { verb: 'ack', as: 'retry', code: `CODE_${i}` },
      isFirst: false,
      acceptedAt: null,
      ms: 1,
    });
    telemetry.refused.tell({ status: 400, code: `code_${i}` });
  }
  const lines = (await metrics.render()).split('\n');
  expect(lines.filter((line) => line.startsWith('afterword_failures_total')).length).toBeLessThanOrEqual(66);
  expect(lines.filter((line) => line.startsWith('afterword_refusals_total')).length).toBeLessThanOrEqual(66);
  expect(lines.filter((line) => /^[a-z]/.test(line)).length).toBeLessThan(1_000);
});
