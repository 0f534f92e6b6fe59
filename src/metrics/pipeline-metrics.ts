import { Counter, Histogram, type Registry } from 'prom-client';
import { telemetry } from '../runtime/telemetry.ts';
import { boundLabel } from './bound-label.ts';

/** Seconds: from a commit on an idle machine to a scorer that takes minutes. */
const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** The same, and up to a day: events wait for retries, and in backlogs. */
const ageBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];
const batchBuckets = [1, 2, 5, 10, 20, 50, 100, 200];
const second = 1_000;

/** OpenTelemetry's names for what every messaging client does; the destination is in `afterword_build_info`. */
const messaging = { messaging_system: 'rabbitmq' } as const;

/**
 * Counts what the pipeline tells of itself. Labels are results, steps and codes, never ids or sizes of texts.
 *
 * @param registers  where the metrics are added.
 */
export function recordPipeline(registers: Registry[]): void {
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets = durationBuckets,
  ) => new Histogram({ name, help, labelNames, buckets, registers });

  const accepts = counter('afterword_accepts_total', 'Answered accepts, by result.', ['result']);
  const acceptTime = histogram('afterword_accept_duration_seconds', 'From a valid body to its commit.', []);
  telemetry.accepted.listen(({ result, ms }) => {
    accepts.inc({ result });
    acceptTime.observe(ms / second);
  });

  const refusals = counter('afterword_refusals_total', 'Requests answered with a problem document.', ['code']);
  const refusalCode = boundLabel();
  telemetry.refused.listen(({ code }) => refusals.inc({ code: refusalCode(code) }));

  const batchItems = histogram('afterword_batch_items', 'Items of a group commit.', ['group'], batchBuckets);
  const batchTime = histogram('afterword_batch_duration_seconds', 'Time of a group commit.', ['group', 'ok']);
  telemetry.committed.listen(({ group, items, ms, ok }) => {
    batchItems.observe({ group }, items);
    batchTime.observe({ group, ok: String(ok) }, ms / second);
  });

  const sendTime = histogram('messaging_client_operation_duration_seconds', 'From a publish to its confirm.', [
    'messaging_system',
    'messaging_operation_name',
    'error_type',
  ]);
  const sent = counter('messaging_client_sent_messages_total', 'Messages that were published.', [
    'messaging_system',
    'messaging_operation_name',
    'error_type',
  ]);
  telemetry.published.listen(({ code, ms }) => {
    const labels = { ...messaging, messaging_operation_name: 'publish', error_type: code ?? '' };
    sent.inc(labels);
    sendTime.observe(labels, ms / second);
  });

  const relayed = counter('afterword_relay_events_total', 'Due events that relays claimed.', ['action']);
  telemetry.claimed.listen(({ events, postponed }) => {
    relayed.inc({ action: 'published' }, events - postponed);
    relayed.inc({ action: 'postponed' }, postponed);
  });
  const lost = counter('afterword_lost_events_total', 'Events that the broker lost and that were made due.', []);
  telemetry.foundLost.listen(({ events }) => lost.inc(events));

  const stepTime = histogram('afterword_step_duration_seconds', 'Parts of an attempt.', ['step']);
  telemetry.stepped.listen(({ step, ms }) => stepTime.observe({ step }, ms / second));

  const sessions = counter('afterword_broker_sessions_total', 'Broker sessions that began or ended.', [
    'link',
    'event',
  ]);
  telemetry.brokerSession.listen(({ link, isUp }) => sessions.inc({ link, event: isUp ? 'began' : 'ended' }));

  recordDeliveries(counter, histogram);
}

type MakeCounter = <L extends string>(name: string, help: string, labelNames: readonly L[]) => Counter<L>;
type MakeHistogram = <L extends string>(
  name: string,
  help: string,
  labelNames: readonly L[],
  buckets?: number[],
) => Histogram<L>;

function recordDeliveries(counter: MakeCounter, histogram: MakeHistogram): void {
  const consumed = counter('messaging_client_consumed_messages_total', 'Deliveries that were answered.', [
    'messaging_system',
    'messaging_operation_name',
  ]);
  const processTime = histogram('messaging_process_duration_seconds', 'From a delivery to its answer.', [
    'messaging_system',
    'messaging_operation_name',
  ]);
  const deliveries = counter('afterword_deliveries_total', 'Answered deliveries, by result.', ['result']);
  const failures = counter('afterword_failures_total', 'Failed attempts that were settled.', ['result', 'code']);
  const failureCode = boundLabel();
  const queueWait = histogram(
    'afterword_queue_wait_seconds',
    'From accept to the first delivery, by the clocks of two machines.',
    [],
    ageBuckets,
  );
  const endToEnd = histogram(
    'afterword_end_to_end_seconds',
    'From accept to PROCESSED, by the clocks of two machines.',
    [],
    ageBuckets,
  );
  const operation = { ...messaging, messaging_operation_name: 'process' };
  telemetry.answered.listen(({ settled, redelivered, acceptedAt, ms }) => {
    consumed.inc(operation);
    processTime.observe(operation, ms / second);
    deliveries.inc({ result: settled.as });
    if (settled.as === 'retry' || settled.as === 'failed')
      failures.inc({ result: settled.as, code: failureCode(settled.code ?? 'EARLIER') });
    if (acceptedAt === null) return;
    const age = Math.max(0, Date.now() - acceptedAt);
    if (settled.as === 'processed') endToEnd.observe(age / second);
    if (!redelivered) queueWait.observe(Math.max(0, age - ms) / second);
  });
}
