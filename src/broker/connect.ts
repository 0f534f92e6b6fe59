import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';

const connectTimeoutMs = 10_000;
const heartbeatSeconds = 15;

/**
 * One connection, as every role wants it. A `heartbeat` in the URL wins over ours.
 *
 * @param name  shown in the broker's list of connections.
 */
export async function connectBroker(url: string, name: string): Promise<ChannelModel> {
  const parsed = new URL(url);
  if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(heartbeatSeconds));
  const model = await connect(parsed.href, {
    // Nagle's algorithm costs 40 ms a confirm.
    noDelay: true,
    keepAlive: true,
    timeout: connectTimeoutMs,
    clientProperties: { connection_name: name },
  });
  gatherWrites((model.connection as unknown as { readonly stream: Socket }).stream);
  return model;
}

/**
 * What is written in one turn of the event loop leaves in one system call (docs/decisions/0013). amqplib writes each frame by itself, two
 * for a publish, and offers no say in it; `stream` is not in its types.
 */
function gatherWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let gathering = false;
  socket.write = (...args: unknown[]) => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      setImmediate(() => {
        gathering = false;
        socket.uncork();
      });
    }
    return write(...args);
  };
}
