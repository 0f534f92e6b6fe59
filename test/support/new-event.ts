import type { EventId, NewEvent } from '../../src/event/event.ts';

/** The n-th event of a test that writes to the store directly. */
export function newEvent(n: number): NewEvent {
  const id = `019a0000-0000-7000-8000-${String(n).padStart(12, '0')}` as EventId;
  return {
    eventId: id,
    conversationId: `conv_new_${n}`,
    userId: `user_${n}`,
    botType: 'TALK',
    botId: 'b',
    botName: 'n',
    topicId: null,
    startTime: new Date(0),
    endTime: new Date(60_000),
    logJson: '[]',
    metadataJson: null,
    traceparent: null,
    lane: 'normal',
    processAfter: null,
    digest: Buffer.alloc(32, n),
  };
}
