import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib';

/** A test's own connection to the broker: publishes messages and looks at what was dead-lettered. */
export type BrokerHand = {
  readonly channel: Channel;
  publish(queue: string, body: unknown, properties?: { messageId?: string; contentType?: string }): void;
  /** Consumes everything that is in the queue now. */
  takeAll(queue: string): Promise<GetMessage[]>;
  /** What is in the queue now; everything stays. */
  peek(queue: string): Promise<GetMessage[]>;
  /** Message ids of that. */
  peekIds(queue: string): Promise<Set<string>>;
  depth(queue: string): Promise<number>;
  close(): Promise<void>;
};

export async function openBroker(url: string): Promise<BrokerHand> {
  const connection: ChannelModel = await connect(url);
  connection.on('error', () => {});
  const channel = await connection.createChannel();

  async function peek(queue: string): Promise<GetMessage[]> {
    const messages: GetMessage[] = [];
    const peeking = await connection.createChannel();
    for (let message = await peeking.get(queue); message !== false; message = await peeking.get(queue))
      messages.push(message);
    peeking.nackAll(true);
    await peeking.close();
    return messages;
  }

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
    peek,
    async peekIds(queue) {
      return new Set((await peek(queue)).map((message) => String(message.properties.messageId)));
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
