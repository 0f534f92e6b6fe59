import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Redis } from '../../scripts/servers/index.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { proveTalk, startTalk } from '../support/talk.ts';
import { sessionFaults, untilSynced } from './catalogue/sessions.ts';

let fleet: Fleet;
let redis: Redis;
const lines: string[] = [];

beforeAll(async () => {
  const env = { SYNC_INTERVAL: '2', SESSION_MESSAGES_PER_MINUTE: '0', USER_MESSAGES_PER_MINUTE: '0' };
  fleet = await startFleet({ workers: 1, withRedis: true, env });
  redis = fleet.servers.redis as Redis;
});
afterAll(async () => {
  const { codes, connections, leaked } = await fleet.stop();
  process.stdout.write(
    ['', '| fault | said | repeats | lost | double | s |', '|---|--:|--:|--:|--:|--:|', ...lines, ''].join('\n'),
  );
  expect(codes).toEqual([0, 0]);
  expect(connections).toEqual([]);
  expect(leaked).toEqual([]);
});

test.each(sessionFaults.map((fault, i) => [fault.name, fault, `t${i}`] as const))('%s', async (name, fault, stream) => {
  const began = performance.now();
  const talk = startTalk({ url: fleet.url, stream, people: 8, length: 25, pauseMs: 40 });
  try {
    await talk.more(20);
    await fault.strike({ fleet, redis, talk });
  } finally {
    await talk.stop();
  }
  await untilSynced(fleet);
  const { said, ...proof } = await proveTalk(fleet, talk);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  lines.push(`| ${name} | ${said} | ${talk.repeats} | ${proof.lost.length} | ${proof.double.length} | ${seconds} |`);
  expect(talk.strange).toEqual([]);
  expect(proof).toEqual({ lost: [], double: [], disordered: [], miscounted: [], wrongEvents: [] });
});
