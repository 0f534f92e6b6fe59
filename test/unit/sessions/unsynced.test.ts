import { expect, test } from 'vitest';
import type { Message } from '../../../src/sessions/ports.ts';
import { createUnsynced } from '../../../src/sessions/unsynced.ts';

const message = (position: number, text = 'x'): Message => ({
  messageId: `m${position}`,
  position,
  role: 'user',
  text,
  sentAt: new Date(0),
});

test('what was added is there by position, each once, until it is removed', () => {
  const unsynced = createUnsynced();
  unsynced.add('s', [message(2), message(1)]);
  unsynced.add('s', [message(2)]);
  expect(unsynced.of('s').map((m) => m.position)).toEqual([1, 2]);
  unsynced.remove('s', ['m1', 'unknown']);
  expect(unsynced.of('s').map((m) => m.position)).toEqual([2]);
  unsynced.remove('s', ['m2']);
  expect(unsynced.sessions()).toEqual([]);
  expect(unsynced.gauge.held()).toBe(0);
});

test('above its bound, the sessions that were silent for longest go first', () => {
  const unsynced = createUnsynced();
  const large = 'x'.repeat(10 * 1_024 * 1_024);
  for (const session of ['a', 'b', 'c']) unsynced.add(session, [message(1, large)]);
  unsynced.add('a', [message(2)]);
  unsynced.add('d', [message(1, large)]);
  expect(unsynced.sessions()).toEqual(['c', 'a', 'd']);
  expect(unsynced.gauge.held()).toBeLessThanOrEqual(unsynced.gauge.bound);
});

test('sessions that were silent for long can be told from others, and dropped', () => {
  let now = 0;
  const unsynced = createUnsynced(() => now);
  unsynced.add('old', [message(1)]);
  now = 900;
  unsynced.add('new', [message(1)]);
  now = 1_000;
  expect(unsynced.sessions(500)).toEqual(['old']);
  unsynced.drop('old');
  expect(unsynced.sessions()).toEqual(['new']);
});

test('a session that the database does not have keeps its head', () => {
  const unsynced = createUnsynced();
  const head = {
    sessionId: 's',
    userId: 'u',
    botType: 't',
    botId: 'b',
    botName: 'n',
    topicId: null,
    startedAt: new Date(0),
  };
  unsynced.begin(head);
  unsynced.add('s', [message(1)]);
  expect(unsynced.headOf('s')).toBe(head);
  expect(unsynced.headOf('other')).toBeNull();
});
