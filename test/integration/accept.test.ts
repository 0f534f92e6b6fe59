import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { insertEvents, openStore } from '../../src/store/index.ts';
import { call, conversation, post, rows, samples } from '../support/client.ts';
import { type Member, startMember } from '../support/member.ts';
import { createNamespace, type Namespace } from '../support/namespace.ts';
import { newEvent } from '../support/new-event.ts';

let space: Namespace;
let api: Member;

beforeAll(async () => {
  space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  api = await startMember('api', space.env);
});
afterAll(async () => {
  expect(await api.stop()).toBe(0);
  await space.dispose();
});

describe('202', () => {
  test('an accepted conversation is in the table before the answer, which says where to look', async () => {
    const body = conversation({ conversation_id: 'conv/ä 1' });
    const answer = await post(api.url, body, { 'x-request-id': 'from-the-caller' });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ status: 'accepted', message: expect.any(String), conversation_id: 'conv/ä 1' });
    expect(answer.body.event_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(answer.headers).toMatchObject({
      location: '/v1/conversations/conv%2F%C3%A4%201',
      'x-request-id': 'from-the-caller',
    });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    const [row] = await rows<Record<string, unknown>>(
      space.database,
      'SELECT * FROM conversation_events WHERE event_id = ?',
      [answer.body.event_id],
    );
    expect(row).toMatchObject({ status: 'PENDING', attempt_count: 0, duration_seconds: 1200 });
    expect(row?.['next_attempt_at']).toBeInstanceOf(Date);
    expect((await call(api.url, 'GET', String(answer.headers['location']))).body.conversation_id).toBe('conv/ä 1');
  });

  test('the same request again is a replay with the same event, however it is written', async () => {
    const body = conversation({ metadata: { a: 1, b: { c: 2, d: 3 } } });
    const first = await post(api.url, body);
    const spelled = {
      ...body,
      start_time: '2026-02-01T03:00:00+07:00',
      metadata: { b: { d: 3, c: 2 }, a: 1 },
      conversation_log: undefined,
      conversation_logs: [
        { character: 'BOT_RESPONSE_CONVERSATION', content: ' Hello! How was your day? ' },
        { character: 'USER', content: 'It was fine' },
      ],
      status: 'PROCESSED',
      friendship_score_change: 1_000,
      unknown_field: true,
    };
    const again = await post(api.url, spelled);
    expect(again.status).toBe(202);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    expect(again.body.event_id).toBe(first.body.event_id);
  });

  test('fields that the server owns are ignored and never stored', async () => {
    const owned = {
      status: 'PROCESSED',
      attempt_count: 9,
      error_code: 'X',
      friendship_score_change: 99,
      new_friendship_level: 'PHASE3_FRIEND',
    };
    const answer = await post(
      api.url,
      conversation({ ...owned, next_attempt_at: '2020-01-01', processed_at: 'x', raw_conversation_log: 7 }),
    );
    expect(answer.status).toBe(202);
    const [row] = await rows(space.database, 'SELECT * FROM conversation_events WHERE event_id = ?', [
      answer.body.event_id,
    ]);
    expect(row).toMatchObject({
      status: 'PENDING',
      attempt_count: 0,
      error_code: null,
      friendship_score_change: null,
      processed_at: null,
    });
  });

  test('an empty agent_tag counts as none', async () => {
    const answer = await post(api.url, conversation({ agent_tag: '' }));
    expect(answer.status).toBe(202);
    expect((await call(api.url, 'GET', String(answer.headers['location']))).body.agent_tag).toBeNull();
  });

  test('every sample conversation is accepted, both log shapes', async () => {
    for (const body of samples().slice(0, 40)) expect((await post(api.url, body)).status).toBe(202);
  });

  test('ids compare byte by byte', async () => {
    const ids = ['conv_case_A', 'conv_case_a', 'conv_case_á', 'conv_case_a '];
    const events = await Promise.all(
      ids.map(async (id) => (await post(api.url, conversation({ conversation_id: id }))).body.event_id),
    );
    expect(new Set(events).size).toBe(4);
  });

  test('emoji, right-to-left text and NUL in the text are stored unchanged', async () => {
    const texts = ['😀 rất vui', 'שלום', 'a\u0000b'];
    const answer = await post(
      api.url,
      conversation({ conversation_log: texts.map((text) => ({ speaker: 'user', text })) }),
    );
    const found = await call(api.url, 'GET', `${answer.headers['location']}?include=log`);
    expect(found.body.conversation_log.map((turn: { text: string }) => turn.text)).toEqual([
      '😀 rất vui',
      'שלום',
      'a\u0000b',
    ]);
  });
});

const withLog = (conversation_log: unknown) => conversation({ conversation_log });

describe('refusals', () => {
  test('409: the id is taken by different content', async () => {
    const body = conversation();
    await post(api.url, body);
    const answer = await post(api.url, { ...body, user_id: 'somebody else' });
    expect(answer).toMatchObject({ status: 409, body: { code: 'conversation_exists', status: 409 } });
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.body.request_id).toBe(answer.headers['x-request-id']);
  });

  test('422 names every error at once, by pointer', async () => {
    const answer = await post(api.url, {
      conversation_id: 'ab',
      user_id: 7,
      bot_type: 'x'.repeat(51),
      bot_id: 'b',
      bot_name: 'n',
      start_time: '2026-02-30T00:00:00Z',
      end_time: '2026-01-01 00:00',
      metadata: { user_initiated_questions: -1, new_memories_count: 1.5 },
      conversation_log: [
        { speaker: 'teacher', text: 'a' },
        { character: 'BOT', content: 5 },
        'hello',
        { speaker: 'user', text: 'a', timestamp: 'noon' },
      ],
    });
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_request' } });
    expect(answer.body.errors.map((e: { pointer: string }) => e.pointer).sort()).toEqual(
      [
        '/bot_type',
        '/conversation_id',
        '/conversation_log/0/speaker',
        '/conversation_log/1/content',
        '/conversation_log/2',
        '/conversation_log/3/timestamp',
        '/end_time',
        '/metadata/new_memories_count',
        '/metadata/user_initiated_questions',
        '/start_time',
        '/user_id',
      ].sort(),
    );
  });

  test.each([
    ['an array', [], ''],
    ['end before start', conversation({ end_time: '2026-01-31T19:00:00Z' }), '/end_time'],
    ['an end that is days in the future', conversation({ end_time: '2099-01-31T19:00:00Z' }), '/end_time'],
    ['both names of the log', conversation({ conversation_logs: [] }), '/conversation_logs'],
    [
      'too many items',
      conversation({ conversation_log: Array(2001).fill({ speaker: 'user', text: 'a' }) }),
      '/conversation_log',
    ],
    ['half a surrogate pair in an id', conversation({ user_id: 'abc\ud800' }), '/user_id'],
    [
      'half a surrogate pair in a text',
      withLog([{ speaker: 'user', text: 'half \ud83d' }]),
      '/conversation_log/0/text',
    ],
    ['half a surrogate pair in the metadata', conversation({ metadata: { a: [{ b: '\udfff' }] } }), '/metadata/a/0/b'],
    ['half a surrogate pair in a name', conversation({ metadata: { a: { '\ud800': 1 } } }), '/metadata/a'],
    ['a log that is missing', withLog(undefined), '/conversation_log'],
    ['a log that is null', withLog(null), '/conversation_log'],
    ['an item without text', withLog([{ speaker: 'user' }]), '/conversation_log/0/text'],
    ['an item of both shapes', withLog([{ character: 'user', text: 'x' }]), '/conversation_log/0/content'],
    ['an item of both shapes, the other way', withLog([{ speaker: 'user', content: 'x' }]), '/conversation_log/0/text'],
    ['an item without a speaker', withLog([{ content: 'x' }]), '/conversation_log/0/character'],
    [
      'metadata nested too deep',
      conversation({ metadata: JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) }),
      '/metadata',
    ],
    ['a missing field', { ...conversation(), bot_id: undefined }, '/bot_id'],
  ])('422: %s', async (_name, body, pointer) => {
    const answer = await post(api.url, body);
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual({ pointer, detail: expect.any(String) });
  });

  test('an empty log is a conversation in which nothing was said', async () => {
    expect((await post(api.url, withLog([]))).status).toBe(202);
    expect(
      (
        await post(
          api.url,
          withLog([
            { speaker: 'user', text: ' ' },
            { character: 'BOT', content: null },
          ]),
        )
      ).status,
    ).toBe(202);
  });

  test.each([
    ['400: not JSON', '{"a":', {}, 400, 'invalid_json'],
    ['400: nothing', '', {}, 400, 'empty_body'],
    ['400: invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), {}, 400, 'invalid_utf8'],
    ['415: another type', '{}', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['415: another charset', '{}', { 'content-type': 'application/json; charset=utf-16' }, 415, 'unsupported_charset'],
    ['415: another encoding', '{}', { 'content-encoding': 'zstd-ish' }, 415, 'unsupported_encoding'],
    ['400: Brotli that is none', '{}', { 'content-encoding': 'br' }, 400, 'bad_encoding'],
    ['400: gzip that is none', '{}', { 'content-encoding': 'gzip' }, 400, 'bad_encoding'],
    ['413: a byte too many', 'x'.repeat(1_048_577), {}, 413, 'body_too_large'],
  ])('%s', async (_name, body, headers, status, code) => {
    const answer = await post(api.url, body, headers);
    expect(answer).toMatchObject({ status, body: { code, status } });
    expect(answer.headers['content-type']).toContain('application/problem+json');
  });

  test('a 404 is a problem document, too', async () => {
    expect(await call(api.url, 'GET', '/nowhere')).toMatchObject({ status: 404, body: { code: 'no_such_endpoint' } });
    expect((await call(api.url, 'GET', '/v1/conversations/%E0%A4%A')).status).toBe(400);
  });

  test('a body of exactly the limit is read', async () => {
    const body = JSON.stringify(conversation());
    const answer = await post(api.url, body.replace('{', `{${' '.repeat(1_048_576 - body.length)}`));
    expect(answer.status).toBe(202);
  });

  test('a row that the database refuses fails alone, not the other requests in its batch', async () => {
    await space.database.query("ALTER TABLE conversation_events ADD CONSTRAINT ck_test CHECK (bot_name <> 'refused')");
    try {
      const names = Array.from({ length: 40 }, (_, i) => (i % 10 === 3 ? 'refused' : 'fine'));
      const answers = await Promise.all(names.map((bot_name) => post(api.url, conversation({ bot_name }))));
      expect(answers.map((a) => a.status)).toEqual(names.map((name) => (name === 'refused' ? 422 : 202)));
      expect(answers[3]?.body.code).toBe('not_storable');
    } finally {
      await space.database.query('ALTER TABLE conversation_events DROP CONSTRAINT ck_test');
    }
  });

  test('a connection dropped in mid-body affects no other request', async () => {
    const { hostname, port } = new URL(api.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(
          'POST /v1/conversations/end HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ' +
            '500\r\n\r\n{"a"',
        );
        socket.destroy();
      });
      socket.once('close', () => resolve());
    });
    expect((await post(api.url, conversation())).status).toBe(202);
  });
});

test('no line of the log has a word of a conversation in it', async () => {
  await post(api.url, conversation({ conversation_log: [{ speaker: 'user', text: 'xyzzy-secret' }] }));
  await post(api.url, `{"conversation_log": [{"speaker": "user", "text": "xyzzy-secret"} oops`);
  await post(api.url, { conversation_log: [{ speaker: 'xyzzy-secret', text: 'xyzzy-secret' }] });
  expect(api.lines.length).toBeGreaterThan(0);
  expect(api.lines.filter((line) => line.includes('xyzzy'))).toEqual([]);
});

test('a database server with no room for prepared statements still works', async () => {
  const [before] = await rows<{ n: number }>(space.database, 'SELECT @@max_prepared_stmt_count AS n');
  const fresh = await startMember('api', space.env);
  try {
    await space.database.query('SET GLOBAL max_prepared_stmt_count = 0');
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(fresh.url, conversation())));
    expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(202));
  } finally {
    await space.database.query('SET GLOBAL max_prepared_stmt_count = ?', [before?.n]);
    expect(await fresh.stop()).toBe(0);
  }
});

test('replayed conversations do not cost their batch its connection', async () => {
  const store = await openStore(space.env['DATABASE_URL'] ?? '', {
    poolSize: 2,
    acceptConnections: 1,
    connectTimeoutMs: 5_000,
  });
  const options = { graceMs: 60_000, deadlineMs: 5_000 };
  const connected = vi.fn();
  store.accepts.on('connection', connected);
  await insertEvents(store, [newEvent(1)], options);
  const again = await insertEvents(store, [{ ...newEvent(1), eventId: newEvent(3).eventId }, newEvent(2)], options);
  await insertEvents(store, [newEvent(4)], options);
  await store.close();
  expect(again).toMatchObject([
    { value: { kind: 'replay', eventId: newEvent(1).eventId } },
    { value: { kind: 'new' } },
  ]);
  expect(connected).toHaveBeenCalledOnce();
  const logs = await rows(space.database, 'SELECT event_id FROM conversation_logs WHERE event_id IN (?)', [
    [1, 2, 3, 4].map((n) => newEvent(n).eventId),
  ]);
  expect(logs).toHaveLength(3);
});
