import { type ChannelModel, connect } from 'amqplib';

const connectTimeoutMs = 10_000;
const heartbeatSeconds = 15;

/**
 * One connection, as every role wants it. A `heartbeat` in the URL wins over ours.
 *
 * @param name  shown in the broker's list of connections.
 */
export function connectBroker(url: string, name: string): Promise<ChannelModel> {
  const parsed = new URL(url);
  if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(heartbeatSeconds));
  return connect(parsed.href, {
    // Nagle's algorithm costs 40 ms a confirm.
    noDelay: true,
    keepAlive: true,
    timeout: connectTimeoutMs,
    clientProperties: { connection_name: name },
  });
}
