import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EventId } from '../../../src/event/event.ts';
import { encodeMessage } from '../../../src/outbox/index.ts';

const event = (logJson: string | null, metadataJson: string | null = null) => ({
  eventId: '019a0000-0000-7000-8000-000000000001' as EventId,
  conversationId: 'c "1"',
  userId: 'u',
  botType: 't',
  botId: 'b',
  botName: 'n',
  agentTag: null,
  startTime: new Date(0),
  endTime: new Date(1_000),
  logJson,
  metadataJson,
  attemptCount: 0,
});
const parse = (body: Buffer) => JSON.parse(body.toString()) as Record<string, unknown>;

test('the parts that are JSON texts already arrive as what they were', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.option(fc.dictionary(fc.string(), fc.jsonValue())), (log, metadata) => {
      const logJson = JSON.stringify(log);
      const metadataJson = metadata === null ? null : JSON.stringify(metadata);
      const body = parse(encodeMessage(event(logJson, metadataJson)));
      expect(body['conversation_log']).toEqual(JSON.parse(logJson));
      expect(body['metadata']).toEqual(metadataJson === null ? null : JSON.parse(metadataJson));
      expect(body['conversation_id']).toBe('c "1"');
    }),
  );
});

test('a log over 64 KiB stays out, unless it is asked for', () => {
  const big = event(JSON.stringify(['x'.repeat(65_536)]));
  expect(parse(encodeMessage(big))['conversation_log']).toBeUndefined();
  expect(parse(encodeMessage(big, { fullLog: true }))['conversation_log']).toHaveLength(1);
  expect(parse(encodeMessage(event('[]', JSON.stringify({ x: 'x'.repeat(65_536) }))))['conversation_log']).toBeUndefined();
  expect(parse(encodeMessage(event(null)))['event_id']).toBeDefined();
});
