import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { call, conversation, postAll, rows, wrongSums } from '../support/client.ts';
import { onDuty } from '../support/duty.ts';
import { type Member, runCommand, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** The operator's commands, on a running fleet. */

let space: Namespace;
let api: Member;
let worker: Member;
let broker: BrokerHand;

beforeAll(async () => {
  const scorer = fileURLToPath(new URL('../fixtures/obedient-scorer.ts', import.meta.url));
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { SCORER_MODULE: scorer, SCORING_THREADS: '1', LOG_LEVEL: 'info' },
  );
  api = await startMember('api', space.env);
  worker = await startMember('worker', space.env);
  broker = await openBroker(inject('rabbitmqUrl'));
});
afterAll(async () => {
  await broker.close();
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
});

const { json, afterword, status, becomes, letters, failOnce } = onDuty(() => ({ space, api, broker }));

describe('dead letters', () => {
  test('are listed and shown with their events, without a word of the conversation', async () => {
    const [id = ''] = await failOnce(1, { conversation_log: [{ speaker: 'user', text: 'xyzzy' }] });
    const { body } = await json('dead', 'list');
    expect(body.letters).toContainEqual(
      expect.objectContaining({
        conversation_id: id,
        status: 'FAILED',
        error_code: 'SCORER_FAILED',
        reason: 'rejected',
        attempts: 1,
      }),
    );
    for (const args of [['list'], ['show', id], ['show', id, '--body']]) {
      const { code, output } = await afterword('dead', ...args);
      expect(code).toBe(0);
      expect(output).toContain(id);
      expect(output).not.toContain('xyzzy');
    }
    // Looking removed nothing.
    expect(await broker.depth(space.deadQueue)).toBe(1);
    expect(await afterword('dead', 'show', 'nobody')).toMatchObject({
      code: 1,
      output: expect.stringContaining('nobody'),
    });
  });

  test('are replayed one at a time, by code, or all; each counts once', async () => {
    const ids = await failOnce(4, { user_id: 'replayed' });
    expect((await json('dead', 'replay', ids[0] ?? '')).body).toMatchObject({ replayed: 1, reopened: 1 });
    await becomes(ids[0] ?? '', 'PROCESSED');
    expect((await json('dead', 'replay', '--error', 'OTHER')).body).toMatchObject({ replayed: 0 });
    expect((await json('dead', 'replay', '--error', 'SCORER_FAILED')).body.replayed).toBeGreaterThanOrEqual(3);
    for (const id of ids) await becomes(id, 'PROCESSED');
    await letters(0);
    expect((await call(api.url, 'GET', '/v1/users/replayed/friendship')).body.friendship_score).toBe(8);
    expect((await json('dead', 'replay', '--all')).body).toMatchObject({ replayed: 0 });
  });

  test('whose event is closed or open again are removed; foreign messages go back and return', async () => {
    const [skipped = ''] = await failOnce(1);
    await call(api.url, 'POST', `/v1/conversations/${skipped}/retry`);
    await becomes(skipped, 'PROCESSED');
    broker.publish(space.queue, 'garbage');
    await letters(2);
    expect((await json('dead', 'replay', '--all')).body).toMatchObject({ replayed: 2, closed: 1, published: 1 });
    await letters(1);
    const [{ id }] = (await json('dead', 'list')).body.letters;
    expect(id).toMatch(/^body-/);
    expect(await afterword('dead', 'show', id)).toMatchObject({ code: 0, output: expect.stringContaining(id) });
    expect((await afterword('dead', 'purge')).code).toBe(2);
    expect(await broker.depth(space.deadQueue)).toBe(1);
    expect(await afterword('dead', 'purge', '--yes')).toMatchObject({
      code: 0,
      output: expect.stringContaining('1 dead letter dropped'),
    });
    await letters(0);
  });

  test('a replay killed halfway loses no letter, and the next one finishes the job', async () => {
    const ids = await failOnce(60, { user_id: 'halfway' });
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const child: ChildProcess = spawn(process.execPath, [main, 'dead', 'replay', '--all'], {
      env: { PATH: process.env['PATH'], ...space.env },
      stdio: 'ignore',
    });
    const open = () =>
      rows(space.database, "SELECT 1 FROM conversation_events WHERE user_id = 'halfway' AND status <> 'FAILED'");
    await vi.waitFor(async () => expect((await open()).length).toBeGreaterThan(5), { timeout: 20_000, interval: 1 });
    child.kill('SIGKILL');
    // Every event still FAILED has its letter: those the killed process held go back to the queue.
    const left = 60 - (await open()).length;
    expect(left).toBeGreaterThan(0);
    await vi.waitFor(async () => expect(await broker.depth(space.deadQueue)).toBeGreaterThanOrEqual(left), {
      timeout: 10_000,
    });
    expect((await json('dead', 'replay', '--all')).code).toBe(0);
    for (const id of ids) await becomes(id, 'PROCESSED');
    await letters(0);
    expect(await wrongSums(space.database)).toEqual([]);
  });

  test('can be used by one tool at a time, and a second one says so', async () => {
    await failOnce(1);
    const flag = await broker.channel.assertQueue(`${space.deadQueue}_open`, { exclusive: true, durable: false });
    expect(await afterword('dead', 'list')).toMatchObject({ code: 1, output: expect.stringContaining('another tool') });
    expect((await json('audit')).body).toMatchObject({ ok: true, notes: [expect.stringContaining('another tool')] });
    await broker.channel.deleteQueue(flag.queue);
    expect((await json('dead', 'replay', '--all')).code).toBe(0);
    await letters(0);
  });

  test('events that fail again while all are being retried are not retried twice', async () => {
    const bodies = Array.from({ length: 30 }, () => conversation({ metadata: { act: 'refuse' } }));
    await postAll(api.url, bodies);
    for (const { conversation_id } of bodies) await becomes(conversation_id, 'FAILED');
    const failed = await rows(space.database, "SELECT 1 FROM conversation_events WHERE status = 'FAILED'");
    expect((await afterword('events', 'retry', '--failed')).output).toMatch(
      new RegExp(`^${failed.length} FAILED events`),
    );
    for (const { conversation_id } of bodies) await becomes(conversation_id, 'FAILED');
    await letters(60);
    // One line per event, however often it has failed.
    const { body: listed } = await json('dead', 'list', '--limit', '100');
    expect(listed.count).toBe(60);
    expect(listed.letters.map((letter: { letters: number }) => letter.letters)).toEqual(Array(30).fill(2));
    expect((await json('dead', 'purge', '--yes')).body).toEqual({ dropped: 60 });
    for (const { conversation_id } of bodies)
      await space.database.query('DELETE FROM conversation_events WHERE conversation_id = ?', [conversation_id]);
  });

  test('a command line that does not say which letters is refused', async () => {
    for (const args of [[], ['x', '--all'], ['--all', '--error', 'X']])
      expect((await afterword('dead', 'replay', ...args)).code).toBe(2);
  });
});

describe('events', () => {
  test('are listed, shown, retried and skipped from the shell, by either id', async () => {
    const [id = ''] = await failOnce(1, { user_id: 'shell' });
    const { event_id } = await status(id);
    const { body } = await json('events', 'list', '--status', 'failed', '--user', 'shell');
    expect(body).toEqual([expect.objectContaining({ conversation_id: id, event_id })]);
    expect((await afterword('events', 'list', '--user', 'shell')).output).toContain(id);
    expect((await json('events', 'show', event_id, '--log')).body.conversation_log).toHaveLength(2);
    expect(await afterword('events', 'retry', event_id)).toMatchObject({ code: 0 });
    await becomes(id, 'PROCESSED');
    expect(await afterword('events', 'retry', id)).toMatchObject({
      code: 1,
      output: expect.stringContaining('PROCESSED'),
    });
    expect(await afterword('events', 'skip', id)).toMatchObject({
      code: 1,
      output: expect.stringContaining('only PENDING'),
    });
    expect(await afterword('events', 'show', 'nobody')).toMatchObject({ code: 1 });
    expect((await afterword('events', 'retry')).code).toBe(2);
    expect((await afterword('events', 'list', '--status', 'lost')).code).toBe(2);
    expect((await afterword('events', 'skip', id, '--reason', 'x'.repeat(501))).code).toBe(2);
  });

  test('are listed by error and time, page by page, with a note if there are more', async () => {
    const ids = await failOnce(3, { user_id: 'paged' });
    const list = async (...more: string[]) =>
      (await json('events', 'list', '--user', 'paged', ...more)).body as { event_id: string }[];
    expect(await list('--error', 'SCORER_FAILED', '--since', '1h')).toHaveLength(3);
    expect(await list('--error', 'OTHER')).toEqual([]);
    expect(await list('--since', new Date(Date.now() + 60_000).toISOString())).toEqual([]);
    const [newest] = await list();
    expect(await list('--before', newest?.event_id ?? '')).toHaveLength(2);
    expect((await afterword('events', 'list', '--user', 'paged', '--limit', '1')).output).toContain(
      `--before ${newest?.event_id}`,
    );
    expect((await afterword('events', 'list', '--since', '99999999d')).code).toBe(2);
    expect((await json('events', 'retry', '--failed', '--error', 'SCORER_FAILED')).body).toEqual({ retried: 3 });
    for (const id of ids) await becomes(id, 'PROCESSED');
    await json('dead', 'replay', '--all');
  });

  test('all FAILED events are retried at once', async () => {
    const ids = await failOnce(3);
    expect(await afterword('events', 'retry', '--failed', '--error', 'SCORER_FAILED')).toMatchObject({ code: 0 });
    for (const id of ids) await becomes(id, 'PROCESSED');
    await json('dead', 'replay', '--all');
  });

  test('open events are due at once after republish, if they are old enough', async () => {
    expect(await worker.stop()).toBe(0);
    const bodies = Array.from({ length: 10 }, () => conversation({ user_id: 'republished' }));
    await postAll(api.url, bodies);
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(10), { timeout: 10_000 });
    // Confirmed, so not due for hours.
    const later = 'SELECT 1 FROM conversation_events WHERE next_attempt_at > UTC_TIMESTAMP(3) + INTERVAL 1 HOUR';
    await vi.waitFor(async () => expect(await rows(space.database, later)).toHaveLength(10), {
      timeout: 20_000,
      interval: 100,
    });
    await broker.channel.purgeQueue(space.queue);
    expect((await afterword('events', 'republish')).output).toMatch(/^0 open events/);
    expect((await afterword('events', 'republish', '--older-than', '0s')).output).toMatch(/^10 open events/);
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBeGreaterThanOrEqual(10), {
      timeout: 10_000,
    });
    worker = await startMember('worker', space.env);
    for (const { conversation_id } of bodies) await becomes(conversation_id, 'PROCESSED');
    expect((await call(api.url, 'GET', '/v1/users/republished/friendship')).body.friendship_score).toBe(20);
  });
});

describe('doctor', () => {
  test('a working deployment has no failed checks', async () => {
    const { code, body } = await json('doctor');
    expect(body.findings.filter((f: { status: string }) => f.status === 'fail')).toEqual([]);
    const checks = body.findings.map((f: { check: string }) => f.check);
    expect(checks).toEqual(
      expect.arrayContaining([
        'schema',
        'durable commits',
        'connections',
        'alarms',
        'consumer timeout',
        'scorer',
        'open files',
      ]),
    );
    expect(code).toBe(0);
  });

  test.each<[string, Record<string, string>, string]>([
    ['a queue declared differently', { RABBITMQ_QUEUE_MAX_LENGTH: '77' }, 'queue arguments'],
    ['no broker', { RABBITMQ_URL: 'amqp://127.0.0.1:1' }, 'broker'],
    ['no database', { DATABASE_URL: 'mysql://u:p@127.0.0.1:1/x' }, 'database'],
    ['a scorer that cannot be loaded', { SCORER_MODULE: './no-such-scorer.ts' }, 'scorer'],
  ])('%s fails, with advice', async (_name, env, check) => {
    const { code, output } = await runCommand(['doctor', '--json'], { ...space.env, ...env });
    const failures = JSON.parse(output).findings.filter((f: { status: string }) => f.status === 'fail');
    expect(failures).toEqual([expect.objectContaining({ check, advice: expect.any(String) })]);
    expect(code).toBe(1);
  });

  test('budgets that do not fit are warnings', async () => {
    const { code, output } = await runCommand(['doctor'], {
      ...space.env,
      WORKER_REPLICAS: '900',
      SCORING_TIMEOUT_MS: '1500000',
    });
    expect(code).toBe(0);
    expect(output).toMatch(/WARN\s+connections/);
    expect(output).toMatch(/WARN\s+consumer timeout/);
  });
});

describe('output that cannot be written', () => {
  const shell = (line: string) => {
    const child = spawn('sh', ['-c', line], {
      env: { PATH: process.env['PATH'], ...space.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (printed += chunk));
    return new Promise<string>((resolve) => child.once('close', () => resolve(printed)));
  };
  const program = `"${process.execPath}" "${fileURLToPath(new URL('../../src/main.ts', import.meta.url))}"`;

  test('a reader that stops early ends a command quietly', async () => {
    expect(await shell(`(${program} events list --limit 500 --json; echo "code $?" >&2) | true`)).toBe('code 0\n');
  });

  test('a full device is reported in one line', async () => {
    expect(await shell(`${program} events list --limit 1000 > /dev/full; echo "code $?"`)).toBe(
      'afterword: the output cannot be written: ENOSPC: no space left on device, write\ncode 1\n',
    );
  });
});
