import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib';

/** A test's own connection to the broker: publishes messages and looks at what was dead-lettered. */
export type BrokerHand = {
  readonly channel: Channel;
  publish(queue: string, body: unknown, properties?: { messageId?: string; contentType?: string }): void;
  /** Consumes everything that is in the queue now. */
  takeAll(queue: string): Promise<GetMessage[]>;
  /** Message ids of what is in the queue now; everything stays. */
  peekIds(queue: string): Promise<Set<string>>;
  depth(queue: string): Promise<number>;
  close(): Promise<void>;
};

export async function openBroker(url: string): Promise<BrokerHand> {
  const connection: ChannelModel = await connect(url);
  connection.on('error', () => {});
  const channel = await connection.createChannel();
  return {
    channel,
    publish(queue, body, properties = {}) {
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      channel.sendToQueue(queue, bytes, { persistent: true, ...properties });
    },
    async takeAll(queue) {
      const messages: GetMessage[] = [];
      for (;;) {
        const message = await channel.get(queue, { noAck: true });
        if (message === false) return messages;
        messages.push(message);
      }
    },
    async peekIds(queue) {
      const ids = new Set<string>();
      const peeking = await connection.createChannel();
      for (let message = await peeking.get(queue); message !== false; message = await peeking.get(queue)) {
        ids.add(String(message.properties.messageId));
      }
      peeking.nackAll(true);
      await peeking.close();
      return ids;
    },
    async depth(queue) {
      // Asking about a queue that does not exist yet closes the channel.
      const asking = await connection.createChannel();
      asking.on('error', () => {});
      try {
        const { messageCount } = await asking.checkQueue(queue);
        await asking.close();
        return messageCount;
      } catch (error) {
        if ((error as { code?: unknown }).code === 404) return 0;
        throw error;
      }
    },
    close: () => connection.close().catch(() => {}),
  };
}
