/** How long a rescore of 100,000 conversations takes, and what it costs those that come in meanwhile. */

import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Member, runCommand, startMember } from '../../test/support/member.ts';
import { createNamespace, type Namespace } from '../../test/support/namespace.ts';
import { fill, warmLoad } from '../lib/load.ts';
import type { Urls } from '../lib/peer-space.ts';
import type { Subject } from '../lib/rounds.ts';
import { acceptAndSettle } from './retention.ts';

const conversations = 100_000;
const scorer = fileURLToPath(new URL('../../test/fixtures/second-scorer.ts', import.meta.url));

/** One database for all rounds. */
export async function openRescore(
  urls: Urls,
  seconds: number,
): Promise<AsyncDisposable & { readonly subjects: readonly Subject[] }> {
  await using stack = new AsyncDisposableStack();
  const space = stack.adopt(await createNamespace(urls, { LOG_LEVEL: 'warn', RELAY_INTERVAL_MS: '1000' }), (s) =>
    s.dispose(),
  );
  const start = async (role: string, env: Record<string, string> = {}) =>
    stack.adopt(await startMember(role, { ...space.env, ...env }), async (member) => void (await member.stop()));
  const api = await start('api');
  await start('worker', { MESSAGE_CONCURRENCY_PER_WORKER: '50' });
  await fill(api.url, conversations);
  while ((await count(space, "status IN ('PENDING', 'PROCESSING')")) > 0) await delay(200);
  await warmLoad(api.url, 2);
  const all = ['--scorer', scorer, '--limit', String(conversations)];
  const moved = stack.move();
  return {
    subjects: [
      { name: 'alone', round: () => alone(space, all) },
      { name: 'undisturbed', round: () => acceptAndSettle(space, api, seconds) },
      { name: 'while it scores', round: () => meanwhile(space, api, all, seconds) },
      {
        name: 'while it is applied',
        async round() {
          const { id } = await rescore(space, all);
          const figures = await meanwhile(space, api, ['--run', String(id), '--apply'], seconds);
          await rescore(space, ['--run', String(id), '--apply']);
          await rescore(space, ['undo', String(id)]);
          return figures;
        },
      },
    ],
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

async function alone(space: Namespace, all: readonly string[]): Promise<Record<string, number>> {
  const timed = async (args: readonly string[]) => {
    const began = performance.now();
    const run = await rescore(space, args);
    return { run, rate: conversations / ((performance.now() - began) / 1_000) };
  };
  const scored = await timed(all);
  const applied = await timed(['--run', String(scored.run.id), '--apply']);
  const audit = await runCommand(['audit'], space.env);
  if (audit.code !== 0) throw new Error(audit.output);
  const undone = await timed(['undo', String(scored.run.id)]);
  return { 'scored/s': scored.rate, 'applied/s': applied.rate, 'undone/s': undone.rate };
}

async function rescore(space: Namespace, args: readonly string[]): Promise<{ readonly id: number }> {
  const { code, output } = await runCommand(['rescore', ...args, '--json'], space.env);
  if (code !== 0) throw new Error(output);
  return JSON.parse(output.split('\n').at(-1) ?? '') as { id: number };
}

async function meanwhile(space: Namespace, api: Member, args: readonly string[], seconds: number) {
  const running = await startMember('rescore', space.env, { args: [...args], mayDie: true, waitsForReady: false });
  await delay(1_000);
  const figures = await acceptAndSettle(space, api, seconds);
  running.signal('SIGTERM');
  await running.ended;
  return figures;
}

async function count(space: Namespace, where: string): Promise<number> {
  const [rows] = await space.database.query(`SELECT COUNT(*) AS n FROM conversation_events WHERE ${where}`);
  return Number((rows as { n: number }[])[0]?.n);
}
