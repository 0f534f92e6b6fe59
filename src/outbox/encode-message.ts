import { maxInlineBytes, type NewEvent, type OutboxEvent } from '../event/event.ts';

/**
 * The message body of the broker contract. The log and the metadata are JSON texts already and are put in as they are.
 *
 * @param options.fullLog  also put in a log that is too large to send: for a worker that has just read it.
 */
export function encodeMessage(event: NewEvent | OutboxEvent, options: { readonly fullLog?: boolean } = {}): Buffer {
  const head = JSON.stringify({
    event_id: event.eventId,
    conversation_id: event.conversationId,
    user_id: event.userId,
    bot_type: event.botType,
    bot_id: event.botId,
    bot_name: event.botName,
    agent_tag: event.agentTag,
    start_time: event.startTime.toISOString(),
    end_time: event.endTime.toISOString(),
  });
  const { logJson, metadataJson } = event;
  const bytes = Buffer.byteLength(logJson ?? '') + Buffer.byteLength(metadataJson ?? '');
  if (logJson === null || (bytes > maxInlineBytes && !options.fullLog)) return Buffer.from(head);
  return Buffer.from(`${head.slice(0, -1)},"metadata":${metadataJson ?? 'null'},"conversation_log":${logJson}}`);
}
