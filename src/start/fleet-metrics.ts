import type { Config } from '../config.ts';
import { plainReady, probeRoutes } from '../health/index.ts';
import { mergeMetrics } from '../metrics/merge.ts';
import { metricsRoutes } from '../metrics/routes.ts';
import { httpUrl } from '../runtime/http/url.ts';
import type { Logger } from '../runtime/log.ts';
import { openMetricsPort } from './metrics-port.ts';

/** A member that hangs is left out of a scrape. One whose servers are silent answers after two seconds. */
const answerMs = 5_000;
const contentType = 'text/plain; version=0.0.4; charset=utf-8';

/** The port of a member: the ones after the fleet's own. */
export function memberPort({ metricsPort }: Config, index: number): number {
  return metricsPort === 0 ? 0 : metricsPort + 1 + index;
}

/** Serves the metrics of all members on the fleet's `METRICS_PORT`, told apart by the label `member`. */
export async function serveFleetMetrics(
  config: Config,
  members: {
    /** All that there may be, in the order of their ports. */
    readonly places: readonly string[];
    readonly isRunning: (name: string) => boolean;
    readonly ready: () => boolean;
  },
  log: Logger,
): Promise<void> {
  async function ask(index: number): Promise<string | null> {
    const url = `${httpUrl(config.metricsHost, memberPort(config, index))}/metrics`;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(answerMs) });
      return answer.ok ? await answer.text() : null;
    } catch {
      return null;
    }
  }
  async function render(): Promise<string> {
    const names = members.places.filter(members.isRunning);
    const texts = await Promise.all(names.map((name) => ask(members.places.indexOf(name))));
    const answered = new Map(names.flatMap((name, i) => (texts[i] ? [[name, texts[i]] as const] : [])));
    const up = names.map((name) => `afterword_member_up{member="${name}"} ${answered.has(name) ? 1 : 0}\n`);
    return (
      '# HELP afterword_member_up 1 if the member of the fleet answered this scrape.\n' +
      `# TYPE afterword_member_up gauge\n${up.join('')}${mergeMetrics(answered)}`
    );
  }
  const probes = probeRoutes(async () => plainReady(members.ready()));
  await openMetricsPort(config, [...metricsRoutes({ render, contentType }), ...probes], log);
}
