import autocannon from 'autocannon';
import { post } from '../../test/support/client.ts';
import { nextBody } from './bodies.ts';

/** Closed loop: `connections` clients, each posting its next conversation when the previous one is answered. */
export async function load(
  url: string,
  seconds: number,
  options: {
    readonly connections?: number;
    readonly amount?: number;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<Record<'/s' | 'p50 ms' | 'p99 ms', number>> {
  const { connections = 100, amount, headers = {} } = options;
  const result = await autocannon({
    url,
    connections,
    ...(amount === undefined ? { duration: seconds } : { amount }),
    requests: [
      {
        method: 'POST',
        path: '/v1/conversations/end',
        headers: { 'content-type': 'application/json', ...headers },
        setupRequest: (request) => ({ ...request, body: nextBody() }),
      },
    ],
  });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.errors} failed, answers ${JSON.stringify(result.statusCodeStats)}`);
  return { '/s': result['2xx'] / result.duration, 'p50 ms': result.latency.p50, 'p99 ms': result.latency.p99 };
}

/** The same after two unmeasured seconds: an API in service has its code compiled and its connections open. */
export async function warmLoad(
  url: string,
  seconds: number,
  headers: Readonly<Record<string, string>> = {},
): ReturnType<typeof load> {
  await load(url, 2, { headers });
  return load(url, seconds, { headers });
}

/** Exactly `events` conversations. */
export async function fill(url: string, events: number): Promise<void> {
  let left = events;
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      while (left-- > 0) {
        const { status } = await post(url, nextBody());
        if (status !== 202) throw new Error(`refused with ${status}`);
      }
    }),
  );
}
