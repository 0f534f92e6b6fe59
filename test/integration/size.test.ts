import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { createOwnQueue } from '../../src/broker/index.ts';
import { openBroker } from '../support/broker.ts';
import { conversation, rows } from '../support/client.ts';
import { runCommand } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/**
 * The sizing advisor on real servers: it answers, and leaves nothing behind. Its accuracy is measured in bench/.
 */

let space: Namespace;
let folder: string;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {},
    { ownUser: true },
  );
  folder = await mkdtemp(join(tmpdir(), 'size-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await space.dispose();
});

const left = () =>
  rows<{ name: string }>(
    space.database,
    "SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name LIKE 'afterword\\_size\\_%'",
  );
const admin = () => ({ ...space.env, DATABASE_URL: inject('databaseUrl') });

test('recommends a setting that it has measured and checked, and removes what it created', async () => {
  const page = join(folder, 'size.html');
  const { code, output } = await runCommand(
    ['size', '--seconds', '1', '--json', '--html', page, '--rate', '10'],
    admin(),
  );
  const report = JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '');
  // Other load on the machine is possible, and the advisor may say so.
  expect(code, output).toBe(report.distrust === null ? 0 : 3);
  for (const trial of report.measured.trials) expect(trial.rate).toBeGreaterThan(0);
  expect(report.measured.scorer).toMatchObject({ name: 'friendship', wall_ms: expect.any(Number) });
  expect(report.checks.length).toBeGreaterThan(0);
  expect(report.measured.trials).toHaveLength(5 + report.checks.length);
  expect(report.advice).toMatchObject({
    machines: 1,
    shortfall: null,
    setting: { workers: expect.any(Number), concurrency: expect.any(Number) },
  });
  expect(report.advice.connections.needed).toBeLessThan(report.advice.connections.admitted);
  const html = await readFile(page, 'utf8');
  expect(html).toContain('<svg');
  expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  expect(await left()).toEqual([]);
  const broker = await openBroker(inject('rabbitmqUrl'));
  const name = /afterword_size_[0-9a-f]+/.exec(output)?.[0];
  expect(name).toBeDefined();
  broker.channel.on('error', () => {});
  await expect(broker.channel.checkQueue(`${name}_processing`)).rejects.toThrow(/NOT_FOUND/);
  await broker.close();
}, 180_000);

test('a scorer that waits is sized by what is in flight, and gets as many as the rate needs', async () => {
  const file = join(folder, 'waiting.ndjson');
  await writeFile(file, JSON.stringify(conversation({ metadata: { act: 'wait', ms: 200 } })));
  const scorer = new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname;
  const { code, output } = await runCommand(['size', '--seconds', '1', '--json', '--body', file, '--rate', '70'], {
    ...admin(),
    SCORER_MODULE: scorer,
  });
  const report = JSON.parse(output.split('\n').find((line) => line.startsWith('{')) ?? '');
  expect(code, output).toBe(report.distrust === null ? 0 : 3);
  expect(report.model.kind).toBe('waiting');
  expect(report.model.each_ms).toBeGreaterThanOrEqual(200);
  // Rate x time, with 30 % of the setting left free for bursts.
  const { workers, concurrency } = report.advice.setting;
  expect(workers * concurrency).toBe(Math.ceil((70 * report.model.each_ms) / 1_000 / 0.7));
}, 180_000);

test('a queue that is emptied stays empty, even if messages had been delivered from it', async () => {
  const queueName = `${space.queue}_own`;
  const queue = await createOwnQueue(
    space.env['RABBITMQ_URL'] ?? '',
    { queueName, queueType: 'quorum', maxLength: 1_000 },
    'test',
  );
  const broker = await openBroker(inject('rabbitmqUrl'));
  broker.publish(queueName, 'of the run before');
  await vi.waitFor(async () => expect(await broker.channel.get(queueName)).not.toBe(false));
  await queue.empty();
  await broker.close(); // its unacknowledged messages go back to their queue
  const later = await openBroker(inject('rabbitmqUrl'));
  later.publish(queueName, 'of this run');
  await vi.waitFor(async () => expect(await later.depth(queueName)).toBeGreaterThan(0));
  expect((await later.takeAll(queueName)).map((message) => message.content.toString())).toEqual(['of this run']);
  await later.close();
  await queue.remove();
});

describe('says what it cannot use', () => {
  test.each([
    [
      'a body that the API would refuse',
      JSON.stringify(conversation({ user_id: '' })),
      /body 1 of .* would be refused: \/user_id/,
    ],
    ['a line that is not JSON', `${JSON.stringify(conversation())}\n{oops\n`, /line 2 is not JSON/],
    ['an empty file', '\n', /has no bodies/],
  ])('%s', async (_name, content, message) => {
    const file = join(folder, 'bodies.ndjson');
    await writeFile(file, content);
    const { code, output } = await runCommand(['size', '--body', file], admin());
    expect(output).toMatch(message);
    expect(code).toBe(78);
  });

  test('a missing file, with the same message as every other command', async () => {
    const { code, output } = await runCommand(['size', '--body', join(folder, 'none.ndjson')], admin());
    expect(output).toContain(`there is no file ${join(folder, 'none.ndjson')}`);
    expect(code).toBe(2);
  });

  test('a scorer that fails on the bodies', async () => {
    const file = join(folder, 'bodies.ndjson');
    await writeFile(file, JSON.stringify(conversation({ metadata: { act: 'refuse' } })));
    const scorer = new URL('../fixtures/obedient-scorer.ts', import.meta.url).pathname;
    const { code, output } = await runCommand(['size', '--body', file], { ...admin(), SCORER_MODULE: scorer });
    expect(output).toMatch(/the scorer fails on these bodies \(SCORER_FAILED\)/);
    expect(code).toBe(78);
  });

  test('a user who may not create a database, with the fix', async () => {
    const { code, output } = await runCommand(['size'], space.env);
    expect(output).toMatch(/may not create one:\n.*GRANT ALL ON `afterword/s);
    expect(code).toBe(78);
    expect(await left()).toEqual([]);
  });
});
