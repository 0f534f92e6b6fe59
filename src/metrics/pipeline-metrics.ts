import type { Registry } from 'prom-client';
import { type Step, telemetry } from '../runtime/telemetry.ts';
import { boundLabel } from './bound-label.ts';
import { counterIn, histogramIn } from './series.ts';

/** Seconds: from a commit on an idle machine to a scorer that takes minutes. */
const durations = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** The same, and up to a day: events wait for retries, and in backlogs. */
const ages = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400];
const batchSizes = [1, 2, 5, 10, 20, 50, 100, 200];
const second = 1_000;

/**
 * Counts what the pipeline tells of itself. Labels are results, steps and codes, never ids or sizes of texts. Names
 * with `messaging_` are OpenTelemetry's.
 */
export function recordPipeline(registry: Registry): void {
  const make = makers(registry);
  recordAccepts(make);
  recordPublications(make);
  recordAttempts(make);
  recordDeliveries(make);
  recordWear(make);
}

/** Of an API with live sessions. */
export function recordSessions(registry: Registry): void {
  const { counter, histogram } = makers(registry);
  const messages = counter('afterword_session_messages_total', 'Messages of live sessions.', 'source', 'result');
  const times = histogram(
    'afterword_session_message_duration_seconds',
    'From a valid message to its answer, without a reply.',
    durations,
    'source',
  );
  telemetry.sessionMessage.listen(({ from, isReplay, ms }) => {
    messages(from, isReplay ? 'replay' : 'new').inc();
    times(from).observe(ms / second);
  });
  const synced = counter('afterword_session_messages_synced_total', 'Messages that were written to the database.')();
  const syncs = histogram('afterword_session_sync_duration_seconds', 'Time of a batch of them.', durations, 'ok');
  telemetry.sessionsSynced.listen((batch) => {
    synced.inc(batch.messages);
    syncs(String(batch.ok)).observe(batch.ms / second);
  });
  const replies = histogram('afterword_reply_duration_seconds', 'Time of a reply.', durations, 'code');
  telemetry.responded.listen(({ code, ms }) => replies(code ?? '').observe(ms / second));
  const links = counter('afterword_redis_links_total', 'Changes of Redis between in use and away.', 'event');
  telemetry.redisLink.listen(({ isUp }) => links(isUp ? 'up' : 'away').inc());
}

/** Of an API: what is sent to webhook endpoints. */
export function recordWebhooks(registry: Registry): void {
  const { counter, histogram } = makers(registry);
  const sent = counter('afterword_webhook_attempts_total', 'Attempts to deliver a webhook.', 'verdict');
  const times = histogram('afterword_webhook_attempt_duration_seconds', 'Time of an attempt.', durations)();
  telemetry.webhookSent.listen(({ verdict, ms }) => {
    sent(verdict).inc();
    times.observe(ms / second);
  });
}

/** Of an API: what its maintenance jobs did while it led. */
export function recordMaintenance(registry: Registry): void {
  const { counter } = makers(registry);
  const runs = counter('afterword_maintenance_runs_total', 'Runs of maintenance jobs.', 'name', 'result');
  const removed = counter('afterword_maintenance_removed_total', 'What they removed.', 'name');
  telemetry.maintained.listen((ended) => {
    runs(ended.job, ended.state).inc();
    removed(ended.job).inc(ended.removed);
  });
}

/** Of a process that compares pronunciations. */
export function recordPhonemes(registry: Registry): void {
  const { counter, histogram } = makers(registry);
  const found = counter('afterword_phoneme_lookups_total', 'Texts whose phonemes were needed.', 'from', 'code');
  const times = histogram('afterword_phoneme_lookup_duration_seconds', 'Time of a look-up.', durations, 'from');
  telemetry.phonemes.listen(({ from, code, ms }) => {
    found(from, code ?? '').inc();
    times(from).observe(ms / second);
  });
  const circuits = counter('afterword_phoneme_circuits_total', 'How often the circuit opened or closed.', 'event');
  telemetry.phonemeCircuit.listen(({ isOpen }) => circuits(isOpen ? 'opened' : 'closed').inc());
}

/** Of a process with analysers. */
export function recordAnalysers(registry: Registry): void {
  const { counter, histogram } = makers(registry);
  const calls = counter(
    'afterword_analyses_total',
    'Conversations that an analyser was asked about.',
    'analyser',
    'code',
  );
  const times = histogram('afterword_analysis_duration_seconds', 'Time of an analysis.', durations, 'analyser');
  telemetry.analyserCalled.listen(({ analyser, code, ms }) => {
    calls(analyser, code).inc();
    times(analyser).observe(ms / second);
  });
  const tokens = counter('afterword_analyser_tokens_total', 'Tokens that a model has counted.', 'kind');
  const batches = histogram('afterword_analyser_batch_items', 'Conversations of a call.', batchSizes)();
  telemetry.analysed.listen(({ prompt, completion, conversations }) => {
    tokens('prompt').inc(prompt);
    tokens('completion').inc(completion);
    batches.observe(conversations);
  });
}

type Makers = ReturnType<typeof makers>;

function makers(registry: Registry) {
  return {
    counter: (name: string, help: string, ...labels: readonly string[]) => counterIn(registry, { name, help }, labels),
    histogram: (name: string, help: string, buckets: readonly number[], ...labels: readonly string[]) =>
      histogramIn(registry, { name, help }, labels, buckets),
  };
}

function recordAccepts({ counter, histogram }: Makers): void {
  const accepts = counter('afterword_accepts_total', 'Answered accepts, by result.', 'result');
  const time = histogram('afterword_accept_duration_seconds', 'From a valid body to its commit.', durations)();
  telemetry.accepted.listen(({ result, ms }) => {
    accepts(result).inc();
    time.observe(ms / second);
  });

  const laned = counter(
    'afterword_lane_events_total',
    'New events, by lane and by what put them there.',
    'lane',
    'why',
  );
  telemetry.laned.listen(({ lane, why }) => laned(lane, why).inc());

  const refusals = counter('afterword_refusals_total', 'Requests answered with a problem document.', 'code');
  const bounded = boundLabel();
  telemetry.refused.listen(({ code }) => refusals(bounded(code)).inc());

  const items = histogram('afterword_batch_items', 'Items of a group commit.', batchSizes, 'group');
  const times = histogram('afterword_batch_duration_seconds', 'Time of a group commit.', durations, 'group', 'ok');
  telemetry.committed.listen((batch) => {
    items(batch.group).observe(batch.items);
    times(batch.group, String(batch.ok)).observe(batch.ms / second);
  });
}

function recordPublications({ counter, histogram }: Makers): void {
  const labels = ['messaging_system_name', 'messaging_operation_name', 'error_type'] as const;
  const sent = counter('messaging_client_sent_messages_total', 'Messages that were published.', ...labels);
  const times = histogram(
    'messaging_client_operation_duration_seconds',
    'From a publish to its confirm.',
    durations,
    ...labels,
  );
  telemetry.published.listen(({ code, ms }) => {
    sent('rabbitmq', 'publish', code ?? '').inc();
    times('rabbitmq', 'publish', code ?? '').observe(ms / second);
  });

  const relayed = counter('afterword_relay_events_total', 'Due events that relays claimed.', 'action');
  telemetry.claimed.listen(({ events, postponed }) => {
    relayed('published').inc(events - postponed);
    relayed('postponed').inc(postponed);
  });
  const lost = counter('afterword_lost_events_total', 'Events that the broker lost and that were made due.')();
  telemetry.foundLost.listen(({ events }) => lost.inc(events));

  const sessions = counter('afterword_broker_sessions_total', 'Broker sessions.', 'link', 'event');
  telemetry.brokerSession.listen(({ link, isUp }) => sessions(link, isUp ? 'began' : 'ended').inc());
}

function recordAttempts({ histogram }: Makers): void {
  const times = histogram('afterword_step_duration_seconds', 'Parts of an attempt.', durations, 'step');
  const steps: Readonly<Record<Step, ReturnType<typeof times>>> = {
    load: times('load'),
    score_wait: times('score_wait'),
    score: times('score'),
    settle: times('settle'),
  };
  telemetry.stepped.listen(({ step, ms }) => steps[step].observe(ms / second));
}

function recordDeliveries({ counter, histogram }: Makers): void {
  const labels = ['messaging_system_name', 'messaging_operation_name'] as const;
  const consumed = counter(
    'messaging_client_consumed_messages_total',
    'Deliveries that were answered.',
    ...labels,
  )('rabbitmq', 'process');
  const time = histogram(
    'messaging_process_duration_seconds',
    'From a delivery to its answer.',
    durations,
    ...labels,
  )('rabbitmq', 'process');
  const deliveries = counter('afterword_deliveries_total', 'Answered deliveries, by result.', 'result');
  const failures = counter('afterword_failures_total', 'Failed attempts that were settled.', 'result', 'code');
  const bounded = boundLabel();
  const wait = histogram(
    'afterword_queue_wait_seconds',
    'From accept to the first delivery, by the clocks of two machines.',
    ages,
  )();
  const endToEnd = histogram(
    'afterword_end_to_end_seconds',
    'From accept to PROCESSED, by the clocks of two machines.',
    ages,
  )();
  telemetry.answered.listen(({ settled, isFirst, acceptedAt, ms }) => {
    consumed.inc();
    time.observe(ms / second);
    deliveries(settled.as).inc();
    if (settled.as === 'retry' || settled.as === 'failed')
      failures(settled.as, bounded(settled.code ?? 'EARLIER')).inc();
    if (acceptedAt === null) return;
    const age = Math.max(0, Date.now() - acceptedAt);
    if (settled.as === 'processed') endToEnd.observe(age / second);
    if (isFirst) wait.observe(Math.max(0, age - ms) / second);
  });
}

function recordWear({ counter }: Makers): void {
  const replaced = counter(
    'afterword_scoring_threads_replaced_total',
    'Replaced scoring threads, by reason.',
    'reason',
  );
  telemetry.threadReplaced.listen(({ reason }) => replaced(reason).inc());
  const memory = counter(
    'afterword_memory_states_total',
    'How often the process ran short of memory, recovered, or ended because of it.',
    'state',
  );
  telemetry.memory.listen(({ state }) => memory(state).inc());
}
