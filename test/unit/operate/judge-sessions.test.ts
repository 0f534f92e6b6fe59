import { expect, test } from 'vitest';
import { judgeSessions } from '../../../src/operate/audit/judge-sessions.ts';
import type { SessionFacts } from '../../../src/operate/audit/ports.ts';
import { judgeRedis } from '../../../src/operate/index.ts';

const hi = { byUser: true, text: 'Hi' };
const hello = { byUser: false, text: 'Hello' };
const right: SessionFacts = {
  sessionId: 's',
  messages: 2,
  questions: 1,
  countedMessages: 2,
  countedQuestions: 1,
  eventId: 'e' as SessionFacts['eventId'],
  said: [hi, hello],
  scored: [hi, hello],
};

test.each<[string, Partial<SessionFacts>, string[]]>([
  ['is right', {}, []],
  ['has not ended', { eventId: null, scored: null }, []],
  ['has an event without its text', { scored: null }, []],
  ['counts too many messages', { messages: 3 }, ['session-count']],
  ['counts too few questions', { questions: 0 }, ['session-count']],
  ['has an event that lacks a message', { scored: [hi] }, ['session-event']],
  ['has an event with another speaker', { scored: [hi, { ...hello, byUser: true }] }, ['session-event']],
  ['has an event with another text', { scored: [hi, { ...hello, text: 'hello' }] }, ['session-event']],
])('a session that %s', (_name, facts, rules) => {
  expect(judgeSessions([{ ...right, ...facts }]).map(({ rule }) => rule)).toEqual(rules);
});

const good = {
  redis_version: '7.0.15',
  role: 'master',
  'maxmemory-policy': 'noeviction',
  maxmemory: '0',
  used_memory: '1048576',
  appendonly: 'yes',
  appendfsync: 'everysec',
};
test.each<[string, Partial<typeof good>, Record<string, string>]>([
  ['is as it should be', {}, {}],
  ['is too old', { redis_version: '6.0.16' }, { 'redis version': 'fail' }],
  ['is a replica', { role: 'slave' }, { 'redis role': 'fail' }],
  ['evicts anything', { 'maxmemory-policy': 'allkeys-lru' }, { 'redis eviction': 'fail' }],
  ['evicts only what may expire', { 'maxmemory-policy': 'volatile-ttl' }, {}],
  ['is nearly full', { maxmemory: '1100000' }, { 'redis memory': 'warn' }],
  ['is full', { maxmemory: '1000000' }, { 'redis memory': 'fail' }],
  ['has no log on disk', { appendonly: 'no' }, { 'redis durability': 'warn' }],
  ['leaves its log to the system', { appendfsync: 'no' }, { 'redis durability': 'warn' }],
])('a Redis that %s', (_name, facts, expected) => {
  const findings = judgeRedis(new Map(Object.entries({ ...good, ...facts })), { waitedMs: 0, syncIntervalMs: 300_000 });
  const bad = findings.filter(({ status }) => status !== 'ok').map(({ check, status }) => [check, status]);
  expect(Object.fromEntries(bad)).toEqual(expected);
});

test('a managed Redis that tells no settings is judged by what INFO says', () => {
  const { 'maxmemory-policy': _, appendonly: __, appendfsync: ___, ...told } = good;
  const facts = new Map(Object.entries({ ...told, maxmemory_policy: 'noeviction', aof_enabled: '1' }));
  const findings = judgeRedis(facts, { waitedMs: 1_000_000, syncIntervalMs: 300_000 });
  expect(findings.filter(({ status }) => status !== 'ok').map(({ check }) => check)).toEqual(['session sync']);
});
