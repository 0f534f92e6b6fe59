/** Accepted conversations per second and the latency of a 202, at 100 connections, with no worker running. */
import { createNamespace } from '../../test/support/namespace.ts';
import type { Contender } from '../contenders/contender.ts';
import { warmLoad } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import { startProcess } from '../lib/process.ts';
import type { Subject } from '../lib/rounds.ts';
import { insertRate, publishRate } from './floors.ts';

export function acceptSubjects(urls: Urls, contenders: readonly Contender[], seconds: number): Subject[] {
  return [
    {
      name: 'Express only',
      async round() {
        const floor = await startProcess('peers/express-only.ts', [], {});
        const result = await warmLoad(floor.url, seconds);
        await floor.stop();
        return result;
      },
    },
    {
      name: 'multi-row INSERT',
      async round() {
        const space = await createNamespace(urls);
        const rate = await insertRate(space.env['DATABASE_URL'] ?? '', seconds);
        await space.dispose();
        return { '/s': rate };
      },
    },
    { name: 'publish with confirms', round: async () => ({ '/s': await publishRate(urls.rabbitmq, seconds) }) },
    ...contenders.map((contender) => ({ name: contender.name, round: () => acceptRound(contender, seconds) })),
  ];
}

async function acceptRound(contender: Contender, seconds: number, env: Record<string, string> = {}) {
  await using session = await contender.open(env);
  const api = await session.startApi();
  const result = await warmLoad(api.url, seconds);
  await api.stop();
  return result;
}
