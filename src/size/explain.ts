import type { LaneRate } from './lane-rates.ts';
import { type Model, type Trial, waitsMostly } from './model.ts';
import { type Advice, classicRules, type Goal, type Measured } from './recommend.ts';
import { type Check, offBy } from './trust.ts';

/**
 * Says what to run and why, in ten lines or so.
 * @param options.distrust  see `distrustOf`.
 * @param options.inDetail  include the model and the rules of thumb.
 */
export function explain(
  measured: Measured,
  model: Model,
  advice: Advice,
  checks: readonly Check[],
  options: Goal & {
    readonly distrust: string | null;
    readonly inDetail: boolean;
    readonly lanes: readonly LaneRate[];
  },
): string[] {
  return [
    ...(options.distrust === null
      ? []
      : [
          `DO NOT PLAN WITH THESE FIGURES: ${options.distrust}.`,
          'Measure again when the machine is otherwise idle.',
          '',
        ]),
    ...recommendation(measured, model, advice, options),
    '',
    ...reasons(measured, model, checks),
    `lanes      while all are full: ${options.lanes.map(laneText).join(' · ')}; what one leaves, the others use`,
    ...(options.inDetail ? details(measured, model) : ['(the model and the rules of thumb: --explain)']),
  ];
}

function recommendation(measured: Measured, model: Model, advice: Advice, goal: Goal): string[] {
  const { setting, expected } = advice;
  const where = advice.machines === 1 ? 'this machine' : `each of ${advice.machines} machines like this one`;
  const lines = [
    `recommended on ${where}${goalText(goal)}:`,
    `  WORKER_REPLICAS=${setting.workers} MESSAGE_CONCURRENCY_PER_WORKER=${setting.concurrency} ` +
      `SCORING_THREADS=${setting.threads} DATABASE_POOL_SIZE=${advice.databasePoolSize}`,
    `  drains ${rate(advice.drain)}; while also accepting, ${rate(advice.sustained)}; ` +
      `needed: ${rate(advice.rate / advice.machines)} (${percent(advice.share)})`,
    `  expected   p50 ${ms(expected.p50Ms)}, p99 ${ms(expected.p99Ms)} from accept to processed; ` +
      `${Math.ceil(expected.queue)} events in flight; workers ` +
      `${expected.workersMiB === null ? 'of unknown size' : `${Math.round(expected.workersMiB)} MiB on each machine`}`,
    `  connections ${advice.connections.needed} of the ${advice.connections.admitted} that the database ` +
      `allows${advice.connections.needed > advice.connections.admitted * 0.8 ? ': raise max_connections' : ''}`,
  ];
  if (model.kind === 'working' && waitsMostly(measured.scorer))
    lines.push(
      '  the scorer spends its time waiting but declares waits: false: without that, a thread could score ' +
        'many events at once',
    );
  if (model.kind === 'waiting')
    lines.push(
      `  the service behind the scorer must handle ${setting.workers * setting.concurrency * advice.machines} ` +
        `concurrent calls${goal.rate === null ? '; name a rate (--rate) for fewer' : ''}`,
    );
  if (advice.machines > 1)
    lines.push(
      '  all machines share one database and one broker, which ran on the same machine as the workers for this ' +
        'measurement: give them machines of their own',
    );
  if (advice.shortfall) lines.push(`  NOT ENOUGH: ${advice.shortfall}`);
  return lines;
}

function reasons(measured: Measured, model: Model, checks: readonly Check[]): string[] {
  const { scorer, cores } = measured;
  const waits = 1 - Math.min(1, scorer.cpuMs / scorer.wallMs);
  return [
    `scorer     ${scorer.name}: ${ms(scorer.wallMs)} per event of ${Math.round(measured.bodyBytes / 100) / 10} KB, ` +
      `${percent(1 - waits)} CPU, ${percent(waits)} waiting${
        model.kind === 'waiting'
          ? ': the rate depends on the number in flight, not on threads'
          : `; ${cores} threads on ${cores} cores work at ${percent(scorer.threadEfficiency)} each`
      }`,
    `servers    a 202 with its commit takes ${ms(measured.commitMs)}; ` +
      `without scoring, this machine accepts ${rate(measured.acceptRate)}`,
    `measured   ${measured.trials.map(trial).join(' · ')}`,
    `checked    ${checks.map(checked).join(' · ')}`,
  ];
}

function laneText({ lane, share, drain }: LaneRate): string {
  return `${lane} ${percent(share)}, ${rate(drain)}`;
}

function checked(check: Check): string {
  const { workers, concurrency, predicted, measured } = check;
  return (
    `${workers} x ${concurrency}: predicted ${rate(predicted)}, ` +
    `measured ${rate(measured)} (${signed(offBy(check))})`
  );
}

function details(measured: Measured, model: Model): string[] {
  return [
    `model      (with the checks) ${describeModel(model)}`,
    `rules      ${classicRules(measured, model)
      .map((r) => `${r.rule} (${r.workers} x ${r.concurrency}): ${rate(r.rate)}`)
      .join(' · ')}`,
    `cpu rule   ${cpuRule(measured.trials)}`,
  ];
}

function describeModel(model: Model): string {
  if (model.kind === 'waiting')
    return (
      `rate = W x C / ${(model.eachMs / 1_000).toFixed(2)} s (Little's law), ` +
      `at most ${rate(model.cpuLimit)} by the CPU of this machine`
    );
  const { lambda, sigma, kappa } = model.alone;
  const sharing = model.sharing.map((s) => `σ ${s.sigma.toFixed(2)} at C = ${s.concurrency}`).join(', ');
  return (
    `one worker: ${rate(lambda)} per delivery, σ ${sigma.toFixed(3)}, κ ${kappa.toExponential(1)}; several: ` +
    `${sharing}`
  );
}

/** Compares the classic rule (raise W under 80 % CPU, lower C over 90 %) with the measurements. */
function cpuRule(trials: readonly Trial[]): string {
  const best = trials.reduce((a, b) => (b.rate > a.rate ? b : a));
  const wouldSay = best.busy < 0.8 ? 'raise W' : best.busy > 0.9 ? 'lower C' : 'leave it';
  const more = trials.find((t) => t.workers > best.workers && t.concurrency === best.concurrency);
  const truth = more && best.busy < 0.8 ? `; ${more.workers} x ${more.concurrency} drained ${rate(more.rate)}` : '';
  return (
    `the fastest run (${best.workers} x ${best.concurrency}) used ${percent(best.busy)} of the CPU: ` +
    `the rule says "${wouldSay}"${truth}`
  );
}

function goalText({ rate: wanted, p99Ms }: Goal): string {
  const parts = [...(wanted === null ? [] : [`${wanted}/s`]), ...(p99Ms === null ? [] : [`p99 under ${p99Ms} ms`])];
  return parts.length === 0 ? '' : ` for ${parts.join(', ')}`;
}

export function trial(t: Pick<Trial, 'workers' | 'concurrency' | 'rate' | 'busy'>): string {
  return `${t.workers} x ${t.concurrency}: ${rate(t.rate)} (CPU ${percent(t.busy)})`;
}

function rate(value: number): string {
  return `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1)}/s`;
}

function ms(value: number): string {
  return `${value >= 10 ? Math.round(value) : value.toFixed(2)} ms`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function signed(share: number): string {
  return `${share >= 0 ? '+' : ''}${Math.round(share * 100)} %`;
}
