import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { type BrokerHand, openBroker } from '../support/broker.ts';
import { type Answer, call, conversation, post, rows, wrongSums } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';

/** Whatever is posted or published is clearly refused or scored: no 5xx, no crash, and none of its text in the logs. */

/** Bodies to post, fifty at a time; for more: FUZZ_BODIES=1000000 scripts/test integration fuzz */
const bodies = Number(process.env['FUZZ_BODIES'] ?? 20_000);
const messages = bodies / 10;
const atOnce = 50;
/** In every text that is posted. No log line may contain it. */
const secret = 'zqxjkvb';

let space: Namespace;
let api: Member;
let worker: Member;
let broker: BrokerHand;

beforeAll(async () => {
  space = await createNamespace(
    { database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') },
    { LOG_LEVEL: 'debug', SCORING_THREADS: '1' },
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

const nasty = fc.constantFrom(
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  'x\udfffy',
  '😀👨‍👩‍👧‍👦',
  'שלום',
  '\u202eabc',
  '\ufeff',
  'é',
  'e\u0301',
  '\u2028',
  "'; DROP TABLE x; --",
  '%{1}',
  '%s%n',
  '__proto__',
  'null',
  '<script>',
);
const text = fc
  .oneof(
    { weight: 3, arbitrary: fc.string({ unit: 'grapheme', maxLength: 60 }) },
    { weight: 2, arbitrary: nasty },
    fc.string({ unit: 'binary', maxLength: 300 }),
  )
  .map((s) => `${s}${secret}`);
const id = fc.oneof(
  { weight: 8, arbitrary: fc.uuid() },
  text,
  nasty,
  fc.constant('conv_again'),
  fc.integer(),
  fc.constant(null),
);
const time = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('2026-01-31T20:00:00Z', '2026-01-31T20:30:00+07:00', '2026-01-31T21:00:00.123Z'),
  },
  fc.date({ noInvalidDate: true }).map((d) => d.toISOString()),
  text,
  fc.integer(),
  fc.constantFrom(
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59Z',
    '+275760-09-13T00:00:00.000Z',
    '2026-01-31',
    null,
  ),
);
const item = fc.oneof(
  { weight: 6, arbitrary: fc.record({ speaker: fc.constantFrom('user', 'pika', 'BOT', 'USER', 'nobody', ''), text }) },
  {
    weight: 3,
    arbitrary: fc.record({ character: fc.constantFrom('USER', 'BOT_RESPONSE_CONVERSATION', 'x'), content: text }),
  },
  fc.record({ speaker: fc.jsonValue(), text: fc.jsonValue(), turn_id: fc.jsonValue(), timestamp: time }),
  fc.jsonValue(),
);
const metadata = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record(
      {
        user_initiated_questions: fc.oneof(fc.nat(5), fc.double(), fc.integer()),
        session_emotion: fc.oneof(fc.constantFrom('interesting', 'boring'), text),
      },
      { requiredKeys: [] },
    ),
  },
  fc.dictionary(
    fc.oneof(
      fc.constantFrom('__proto__', 'constructor', 'toString', 'user_initiated_questions', 'new_memories_count'),
      text,
    ),
    fc.jsonValue(),
  ),
  fc.jsonValue(),
  fc.constant(null),
);
const request = fc.record(
  {
    conversation_id: id,
    user_id: id,
    bot_type: fc.oneof({ weight: 8, arbitrary: fc.constantFrom('TALK', 'NEXT_LESSON') }, text),
    bot_id: fc.oneof({ weight: 8, arbitrary: fc.constant('b') }, text, fc.jsonValue()),
    bot_name: fc.oneof({ weight: 8, arbitrary: fc.constant('Pika') }, text),
    agent_tag: fc.oneof(fc.constantFrom('pets', '', null), text),
    start_time: time,
    end_time: fc.oneof({ weight: 8, arbitrary: fc.constant('2026-02-01T00:00:00Z') }, time),
    conversation_log: fc.oneof({ weight: 8, arbitrary: fc.array(item, { maxLength: 12 }) }, fc.jsonValue()),
    metadata,
    status: fc.jsonValue(),
    attempt_count: fc.jsonValue(),
    ['__proto__']: fc.jsonValue(),
  },
  { requiredKeys: ['conversation_id', 'user_id', 'bot_type', 'start_time', 'end_time'] },
);

/** A valid request with nasty texts; or one with a single field that may be anything. */
const almostGood = fc
  .record({
    good: fc.record({
      conversation_id: fc.oneof({ weight: 20, arbitrary: fc.uuid() }, fc.constant('conv_again')),
      user_id: fc.constantFrom('user_a', 'USER_A', 'ngườidùng', '用户😀'),
      bot_type: fc.constantFrom('TALK', 'NEXT_LESSON'),
      bot_id: fc.constant('b'),
      bot_name: fc.constant('Pika'),
      agent_tag: fc.constantFrom('pets', '', null, 'Pets'),
      start_time: fc.constant('2026-01-31T20:00:00Z'),
      end_time: fc.constant('2026-01-31T20:30:00Z'),
      conversation_log: fc.array(fc.record({ speaker: fc.constantFrom('user', 'pika'), text }), { maxLength: 12 }),
      metadata: fc.dictionary(text, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 }),
    }),
    odd: request,
    field: fc.constantFrom(
      ...(['none', 'none', 'conversation_log', 'metadata', 'start_time', 'user_id', 'bot_name', 'agent_tag'] as const),
    ),
  })
  .map(({ good, odd, field }) => (field === 'none' ? good : { ...good, [field]: odd[field] }));

/** A request as bytes, whole or damaged. */
const asBytes = fc.oneof({ weight: 3, arbitrary: almostGood }, request).chain((value) => {
  const json = JSON.stringify(value);
  const bytes = Buffer.from(json);
  return fc.oneof(
    { weight: 10, arbitrary: fc.constant(bytes) },
    fc.nat(bytes.length).map((n) => bytes.subarray(0, n)),
    fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, byte]) => {
      const damaged = Buffer.from(bytes);
      damaged[at] = byte;
      return damaged;
    }),
    // A key twice, the second time with something else.
    fc
      .jsonValue()
      .map((other) =>
        Buffer.from(`${json.slice(0, -1)},"user_id":${JSON.stringify(other)},"metadata":{"__proto__":{"a":1}}}`),
      ),
    fc.constant(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes])),
    fc.constant(Buffer.from(json, 'utf16le')),
  );
});
const anyBytes = fc.oneof(
  { weight: 12, arbitrary: asBytes },
  fc.jsonValue({ maxDepth: 8 }).map((value) => Buffer.from(JSON.stringify(value))),
  fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.constantFrom('[', '{"a":', '"\\u'), fc.integer({ min: 1, max: 20_000 }))
    .map(([part, n]) => Buffer.from(part.repeat(n))),
);
const contentType = fc.oneof(
  { weight: 20, arbitrary: fc.constant('application/json') },
  fc.constantFrom(
    'application/json; charset=utf-8',
    'application/problem+json',
    'application/json;charset=utf-16',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'a',
    'application/json; charset="',
  ),
);

describe('POST /v1/conversations/end', () => {
  test(`${bodies} bodies: accepted, or refused with a problem document`, { timeout: 3_600_000 }, async () => {
    const seen = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(anyBytes, contentType), { minLength: atOnce, maxLength: atOnce }),
        async (posts) => {
          const answers = await Promise.all(posts.map(([body, type]) => post(api.url, body, { 'content-type': type })));
          for (const answer of answers) {
            seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
            expectAcceptedOrRefused(answer);
          }
        },
      ),
      { numRuns: bodies / atOnce, endOnFailure: true },
    );
    process.stdout.write(`· fuzz: ${bodies} bodies, answers ${JSON.stringify(Object.fromEntries(seen))}\n`);
    // It would prove little if nothing had been accepted.
    for (const status of [202, 400, 409, 415, 422])
      expect(seen.get(status) ?? 0, String(status)).toBeGreaterThan(bodies / 1_000);
    expect((await call(api.url, 'GET', '/healthz')).status).toBe(200);
  });

  test('what was accepted is scored, and counted once', async () => {
    await vi.waitFor(
      async () => {
        const open = await rows(
          space.database,
          "SELECT 1 FROM conversation_events WHERE status IN ('PENDING', 'PROCESSING') LIMIT 1",
        );
        expect(open).toEqual([]);
      },
      { timeout: 300_000, interval: 200 },
    );
    expect(
      await rows(space.database, "SELECT event_id, error_code FROM conversation_events WHERE status <> 'PROCESSED'"),
    ).toEqual([]);
    expect(await wrongSums(space.database)).toEqual([]);
  });
});

describe('the queue', () => {
  test(`${messages} messages: scored, or dead-lettered; the worker lives`, { timeout: 3_600_000 }, async () => {
    const known = conversation({ user_id: 'known' });
    const { event_id } = (await post(api.url, known)).body;
    const dead = await broker.depth(space.deadQueue);
    const message = fc.oneof(
      anyBytes,
      fc
        .record(
          {
            event_id: fc.oneof(fc.constant(event_id), fc.uuid(), fc.jsonValue()),
            conversation_id: id,
            conversation_log: fc.jsonValue(),
            metadata: fc.jsonValue(),
          },
          { requiredKeys: [] },
        )
        .map((value) => Buffer.from(JSON.stringify(value))),
      fc.constant(
        Buffer.from(JSON.stringify({ ...known, event_id, agent_tag: null, metadata: null, conversation_log: [] })),
      ),
    );
    const properties = fc.record(
      {
        messageId: fc.oneof(fc.uuid(), fc.constant(event_id), text),
        contentType: fc.constantFrom('application/json', 'text/plain', 'x'),
      },
      { requiredKeys: [] },
    );
    const sample = fc.sample(fc.tuple(message, properties), messages);
    for (const [body, props] of sample) broker.publish(space.queue, body, props);
    // Queued behind all of them: when this one is scored, every other has been handled.
    const last = conversation();
    await vi.waitFor(async () => expect(await broker.depth(space.queue)).toBe(0), { timeout: 300_000, interval: 100 });
    await post(api.url, last);
    await vi.waitFor(
      async () =>
        expect((await call(api.url, 'GET', `/v1/conversations/${last.conversation_id}`)).body.status).toBe('PROCESSED'),
      { timeout: 60_000 },
    );
    // About half of them refer to the known event in some way: those are duplicates.
    // The queue may have been empty above because not all of them had reached it.
    await vi.waitFor(async () => expect(await broker.depth(space.deadQueue)).toBeGreaterThan(dead + messages / 3), {
      timeout: 60_000,
      interval: 100,
    });
    expect((await call(api.url, 'GET', `/v1/conversations/${known.conversation_id}`)).body).toMatchObject({
      status: 'PROCESSED',
      event_id,
    });
    expect(await wrongSums(space.database)).toEqual([]);
    expect(worker.lines.filter((line) => line.includes('a bug while'))).toEqual([]);
  });
});

test('no line of any log has a word of what was posted or published', () => {
  expect(api.lines.length + worker.lines.length).toBeGreaterThan(100);
  expect([...api.lines, ...worker.lines].filter((line) => line.includes(secret))).toEqual([]);
});

function expectAcceptedOrRefused(answer: Answer): void {
  if (answer.status === 202) {
    expect(answer.body).toMatchObject({ status: 'accepted', event_id: expect.any(String) });
    return;
  }
  expect([400, 409, 413, 415, 422]).toContain(answer.status);
  expect(answer.headers['content-type']).toContain('application/problem+json');
  expect(answer.body).toMatchObject({ status: answer.status, code: expect.any(String), detail: expect.any(String) });
  expect(JSON.stringify(answer.body)).not.toContain(secret);
  // A library's own wording means nothing to a caller.
  expect(JSON.stringify(answer.body)).not.toMatch(/Invalid input|expected/);
}
