import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { call, conversation, post, rows } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { type SeenSpan, startCollector, treeOf } from '../support/otlp.ts';
import { createProxy } from '../support/proxy.ts';

let collector: Awaited<ReturnType<typeof startCollector>>;
let space: Namespace;
let env: Record<string, string>;
let api: Member;
let worker: Member;
let queue: string;

beforeAll(async () => {
  collector = await startCollector();
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    {
      SCORER_MODULE: new URL('../fixtures/moody-scorer.ts', import.meta.url).pathname,
      SCORING_THREADS: '1',
      RETRY_BASE_MS: '100',
      RELAY_INTERVAL_MS: '100',
      LOG_LEVEL: 'debug',
    },
  );
  queue = space.env['RABBITMQ_QUEUE_NAME'] ?? '';
  env = { ...space.env, ...collector.env, REDIS_URL: inject('redisUrl') };
  api = await startMember('api', env);
  worker = await startMember('worker', env);
});
afterAll(async () => {
  for (const member of [api, worker]) expect(await member.stop()).toBe(0);
  await space.dispose();
  await collector.close();
});

const callersTrace = 'aaaabbbbccccddddeeeeffff00001111';
const callersSpan = '1234567890abcdef';

/** Sends it and waits until it is closed. @returns its event's id. */
async function run(body: Record<string, unknown>, headers?: Record<string, string>, url = api.url): Promise<string> {
  const accepted = await post(url, body, headers);
  expect(accepted.status).toBe(202);
  await closed(String(body['conversation_id']));
  return accepted.body.event_id;
}

const closed = (id: string) =>
  vi.waitFor(
    async () => {
      const [row] = await rows<{ status: string }>(
        space.database,
        'SELECT status FROM conversation_events WHERE conversation_id = ?',
        [id],
      );
      expect(['PROCESSED', 'FAILED']).toContain(row?.status);
    },
    { timeout: 20_000, interval: 50 },
  );

/** Spans about an event, in the order of their beginnings, once there are `count`. */
const about = (eventId: string, name: string, count: number) =>
  vi.waitFor(
    () => {
      const found = collector.spans.filter((s) => s.attributes['messaging.message.id'] === eventId && s.name === name);
      expect(found).toHaveLength(count);
      return found.sort((a, b) => a.startMs - b.startMs) as [SeenSpan, ...SeenSpan[]];
    },
    { timeout: 10_000, interval: 50 },
  );

const road = () => [
  'POST /v1/conversations/end',
  '  accept',
  `  publish ${queue}`,
  `    process ${queue}`,
  '      load',
  '      score',
  '        score in thread',
  '      settle',
  `      ack ${queue}`,
];

test("one trace goes from the caller's own span to the acknowledgement", async () => {
  const body = conversation();
  const event = await run(body, { traceparent: `00-${callersTrace}-${callersSpan}-01` });
  const [processing] = await about(event, `process ${queue}`, 1);
  await vi.waitFor(() => expect(treeOf(collector.spans, callersTrace)).toEqual(road()), { timeout: 5_000 });

  const of = (name: string) => collector.spans.find((s) => s.traceId === callersTrace && s.name === name) as SeenSpan;
  const request = of('POST /v1/conversations/end');
  expect(request).toMatchObject({
    parentId: callersSpan,
    kind: 'SERVER',
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/v1/conversations/end',
      'http.response.status_code': 202,
    },
    resource: { 'service.name': 'afterword' },
  });
  expect(of(`publish ${queue}`)).toMatchObject({
    kind: 'PRODUCER',
    attributes: {
      'messaging.system.name': 'rabbitmq',
      'messaging.destination.name': queue,
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.message.id': event,
    },
  });
  expect(processing).toMatchObject({
    kind: 'CONSUMER',
    links: [],
    attributes: {
      'messaging.operation.type': 'process',
      'afterword.outcome': 'processed',
      'messaging.message.id': event,
    },
  });
  expect(of(`ack ${queue}`)).toMatchObject({ kind: 'CLIENT', attributes: { 'messaging.operation.type': 'settle' } });
  const [score, inThread] = [of('score'), of('score in thread')];
  expect(inThread.endMs).toBeGreaterThanOrEqual(inThread.startMs);
  // The clocks of two threads: each counts from a start of its own.
  expect(inThread.startMs).toBeGreaterThan(score.startMs - 50);
  expect(inThread.endMs).toBeLessThan(score.endMs + 50);
  for (const span of collector.spans.filter((s) => s.traceId === callersTrace)) expect(span.isError).toBe(false);
});

test('a message of a live session is traced until it is taken, and its end like any conversation', async () => {
  const id = `traced-${process.pid}`;
  const head = { session_id: id, user_id: 'user_traced', bot_type: 'TALK', bot_id: 'b', bot_name: 'B' };
  expect((await call(api.url, 'POST', '/v1/sessions', head)).status).toBe(201);
  const trace = { traceparent: `00-${'c'.repeat(32)}-${callersSpan}-01` };
  const said = await call(api.url, 'POST', `/v1/sessions/${id}/messages`, { role: 'user', text: 'Hi' }, trace);
  expect(said.status).toBe(202);
  const ending = { traceparent: `00-${'d'.repeat(32)}-${callersSpan}-01` };
  expect((await call(api.url, 'POST', `/v1/sessions/${id}/end`, {}, ending)).status).toBe(202);
  await closed(id);
  await vi.waitFor(() => {
    expect(treeOf(collector.spans, 'c'.repeat(32))).toEqual(['POST /v1/sessions/:id/messages', '  take']);
    expect(treeOf(collector.spans, 'd'.repeat(32)).slice(0, 3)).toEqual([
      'POST /v1/sessions/:id/end',
      '  accept',
      `  publish ${queue}`,
    ]);
  }, 20_000);
});

test('a retry is a trace of its own, linked to the first', async () => {
  const body = conversation({ metadata: { act: 'not-yet', until: Date.now() + 500 } });
  const event = await run(body);
  const attempts = await vi.waitFor(
    () => {
      const found = collector.spans.filter(
        (s) => s.name === `process ${queue}` && s.attributes['messaging.message.id'] === event,
      );
      expect(found.some((s) => s.attributes['afterword.outcome'] === 'processed')).toBe(true);
      return found.sort((a, b) => a.startMs - b.startMs) as [SeenSpan, SeenSpan, ...SeenSpan[]];
    },
    { timeout: 10_000, interval: 50 },
  );
  const [first, second] = attempts;
  expect(second.traceId).not.toBe(first.traceId);
  expect(treeOf(collector.spans, first.traceId)).toEqual([
    'POST /v1/conversations/end',
    '  accept',
    `  publish ${queue}`,
    `    process ${queue} !SCORER_FAILED`,
    '      load',
    '      score !SCORER_FAILED',
    '        score in thread',
    '      settle',
    `      ack ${queue}`,
  ]);
  const [relayed] = collector.spans.filter((s) => s.traceId === second.traceId && s.name === `publish ${queue}`);
  const [request] = collector.spans.filter(
    (s) => s.traceId === first.traceId && s.name === 'POST /v1/conversations/end',
  );
  expect(relayed?.parentId).toBe('');
  expect(relayed?.links).toEqual([{ traceId: first.traceId, spanId: request?.spanId }]);
});

test('what a relay publishes after the death of an API is linked to the request that the API answered', async () => {
  const proxy = await createProxy(new URL(inject('rabbitmqUrl')));
  const doomed = await startMember(
    'api',
    { ...env, RABBITMQ_URL: proxy.through(env['RABBITMQ_URL'] ?? ''), PUBLISH_GRACE_MS: '1000' },
    { mayDie: true },
  );
  await proxy.refuse();
  const body = conversation();
  const trace = 'bbbb0000cccc1111dddd2222eeee3333';
  const accepted = await post(doomed.url, body, { traceparent: `00-${trace}-${callersSpan}-01` });
  expect(accepted.status).toBe(202);
  // Its spans are out; the message is not.
  await vi.waitFor(() => expect(treeOf(collector.spans, trace)).toContain('POST /v1/conversations/end'), 5_000);
  doomed.signal('SIGKILL');
  await doomed.ended;
  await closed(String(body['conversation_id']));

  const [processing] = await about(accepted.body.event_id, `process ${queue}`, 1);
  expect(processing.traceId).not.toBe(trace);
  await vi.waitFor(() =>
    expect(treeOf(collector.spans, processing.traceId)).toEqual(
      road()
        .slice(2)
        .map((line) => line.slice(2)),
    ),
  );
  const published = collector.spans.find((s) => s.spanId === processing.parentId);
  expect(published?.links.map((link) => link.traceId)).toEqual([trace]);
  await proxy.close();
});

test('what a scorer calls continues the trace', async () => {
  let traceparent: string | undefined;
  const service = createServer((request, answer) => {
    traceparent = request.headers['traceparent'] as string;
    answer.end('ok');
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const { port } = service.address() as AddressInfo;
  const event = await run(conversation({ metadata: { act: 'fetch', url: `http://127.0.0.1:${port}` } }));
  const [processing] = await about(event, `process ${queue}`, 1);
  const inThread = await vi.waitFor(() => {
    const found = collector.spans.find((s) => s.traceId === processing.traceId && s.name === 'score in thread');
    expect(found).toBeDefined();
    return found;
  });
  expect(traceparent).toBe(`00-${inThread?.traceId}-${inThread?.spanId}-01`);
  service.closeAllConnections();
  service.close();
});

test('a trace that the caller does not sample is not sent, but its failure is', async () => {
  const unsampled = (trace: string) => ({ traceparent: `00-${trace}-${callersSpan}-00` });
  const [good, bad] = ['cccc0000dddd1111eeee2222ffff3333', 'dddd0000eeee1111ffff222200003333'];
  await run(conversation(), unsampled(good));
  const event = await run(conversation({ metadata: { act: 'refuse' } }), unsampled(bad));
  const [failure] = await about(event, `process ${queue}`, 1);
  expect(failure).toMatchObject({ traceId: bad, isError: true, attributes: { 'afterword.outcome': 'failed' } });
  expect(failure.attributes['error.type']).toBeTruthy();
  expect(collector.spans.filter((s) => s.traceId === good)).toEqual([]);
  expect(collector.spans.filter((s) => s.traceId === bad && s.name.startsWith('POST'))).toEqual([]);
});

test('the log lines of an attempt carry the ids of its span', async () => {
  const event = await run(conversation());
  const [processing] = await about(event, `process ${queue}`, 1);
  const lines = worker.lines
    .filter((line) => line.includes(event))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const settled = lines.find((line) => line['msg'] === 'processed');
  expect(settled).toMatchObject({ trace_id: processing.traceId, span_id: processing.spanId });
});

test('no text, no id of a user or a conversation, and no path is in what is sent', async () => {
  const secret = 'a sentence that nobody else says';
  const body = conversation({
    user_id: 'user_of_one_trace',
    conversation_log: [{ speaker: 'user', text: secret }],
    metadata: { act: 'refuse' },
  });
  const event = await run(body);
  await call(api.url, 'GET', `/v1/users/user_of_one_trace/friendship`);
  await about(event, `process ${queue}`, 1);
  await vi.waitFor(() => expect(collector.raw()).toContain('/v1/users/:id/friendship'), 5_000);
  for (const hidden of [secret, 'user_of_one_trace', String(body['conversation_id'])])
    expect(collector.raw()).not.toContain(hidden);
});

test('probes and scrapes leave no traces', async () => {
  for (const path of ['/healthz', '/readyz', '/metrics', '/v1/conversations/none']) await call(api.url, 'GET', path);
  await vi.waitFor(() => expect(collector.spans.some((s) => s.name.startsWith('GET /v1/conversations'))).toBe(true));
  expect(collector.spans.filter((s) => /healthz|readyz|metrics/.test(s.name))).toEqual([]);
  expect(collector.spans.filter((s) => s.name === 'GET')).toEqual([]);
});

test('without its collector a fleet works as before, says so once, and stops in time', async () => {
  const away = { ...space.env, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_BSP_SCHEDULE_DELAY: '50' };
  const lonely = await startMember('api', away);
  await run(conversation(), undefined, lonely.url);
  await vi.waitFor(() => expect(lonely.lines.join('\n')).toContain('the collector does not take traces'), 15_000);
  await run(conversation(), undefined, lonely.url);
  expect(await lonely.stop()).toBe(0);
  expect(lonely.lines.filter((line) => line.includes('the collector does not take traces'))).toHaveLength(1);
});
