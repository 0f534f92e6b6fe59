import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { conversation, post, rows, statuses } from '../support/client.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** What the audit finds wrong in a friendship, a rebuild puts right; while the fleet works, and nothing else. */

let space: Namespace;
let api: Member;
let worker: Member;
beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const tables = ['friendship_status', 'friendship_topic_metrics'] as const;
const all = async () =>
  Promise.all(
    tables.map((table) =>
      rows<Record<string, unknown>>(space.database, `SELECT * FROM ${table} ORDER BY user_id`).then((found) =>
        found.map(({ updated_at: _, ...row }) => row),
      ),
    ),
  );
const send = async (n: number) => {
  for (let i = 0; i < n; i++)
    await post(api.url, conversation({ user_id: `user_${i % 7}`, agent_tag: i % 3 === 0 ? 'pets' : 'cars' }));
};
const rebuild = async (...args: string[]) => {
  const { code, output } = await runCommand(['rebuild', '--json', ...args], space.env);
  return { code, ...JSON.parse(output) };
};
const audit = async () => (await runCommand(['audit'], space.env)).code;

test('nothing differs; then everything is spoilt, shown, and put right; new events meanwhile are counted', async () => {
  await send(140);
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 140 }), { timeout: 30_000 });
  expect(await rebuild()).toMatchObject({ code: 0, users: 7, wrong: 0, differences: [] });
  const before = await all();

  await space.database.query(
    "UPDATE friendship_status SET friendship_score = 7, streak_day = 99 WHERE user_id = 'user_1'",
  );
  await space.database.query("DELETE FROM friendship_status WHERE user_id = 'user_2'");
  await space.database.query("UPDATE friendship_topic_metrics SET turns = turns + 1 WHERE user_id = 'user_3'");
  await space.database.query(
    `INSERT INTO friendship_topic_metrics (user_id, topic_id, last_date) VALUES ('user_4', 'never', '2026-01-01')`,
  );
  expect(await audit()).toBe(1);
  const shown = await rebuild();
  expect(shown).toMatchObject({ code: 1, users: 7, wrong: 4, applied: false });
  expect(shown.differences).toContainEqual({
    user_id: 'user_2',
    what: 'friendship',
    is: 'not there',
    shouldBe: 'there',
  });
  expect(await audit()).toBe(1);
  const one = await rebuild('user_1', '--apply');
  expect(one).toMatchObject({ code: 0, users: 1, wrong: 1, applied: true });
  expect(await rebuild('--apply')).toMatchObject({ code: 0, wrong: 3 });
  expect(await all()).toEqual(before);
  expect(await audit()).toBe(0);
  expect((await runCommand(['actions'], space.env)).output).toContain('rebuild');

  const sending = send(140);
  for (let i = 0; i < 3; i++) expect(await rebuild('--apply')).toMatchObject({ code: 0, wrong: 0 });
  await sending;
  await vi.waitFor(async () => expect(await statuses(space.database)).toEqual({ PROCESSED: 280 }), { timeout: 30_000 });
  expect(await audit()).toBe(0);
  expect(await rebuild()).toMatchObject({ code: 0, wrong: 0 });
});

test('somebody who is not there is nobody, and stays so', async () => {
  expect(await rebuild('nobody', '--apply')).toMatchObject({ code: 0, wrong: 0 });
  expect(await rows(space.database, "SELECT 1 FROM friendship_status WHERE user_id = 'nobody'")).toEqual([]);
});
