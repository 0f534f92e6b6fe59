import type { Socket } from 'node:net';
import { type ChannelModel, connect } from 'amqplib';
import { PipelineError } from '../event/fault.ts';
import { certificateProblem } from '../runtime/certificate-problem.ts';

const connectTimeoutMs = 10_000;
const heartbeatSeconds = 15;

/**
 * Opens a connection with the settings that every role uses. A `heartbeat` in the URL overrides ours.
 *
 * @param name  shown in the broker's list of connections.
 * @throws {PipelineError} `LOGIN_REFUSED` or `CERTIFICATE_REFUSED` (permanent) or `VHOST_REFUSED` (transient, because a
 *   broker that is starting refuses every virtual host); amqplib's error if the broker cannot be reached.
 */
export async function connectBroker(url: string, name: string): Promise<ChannelModel> {
  const parsed = new URL(url);
  if (!parsed.searchParams.has('heartbeat')) parsed.searchParams.set('heartbeat', String(heartbeatSeconds));
  const model = await connect(parsed.href, {
    // Nagle's algorithm costs 40 ms per confirm.
    noDelay: true,
    keepAlive: true,
    timeout: connectTimeoutMs,
    clientProperties: { connection_name: name },
  }).catch((error: unknown) => {
    throw refusal(parsed, error) ?? error;
  });
  gatherWrites((model.connection as unknown as { readonly stream: Socket }).stream);
  return model;
}

/** amqplib distinguishes these refusals only in its error messages. */
function refusal({ protocol, username, pathname, host }: URL, cause: unknown): PipelineError | null {
  const { message } = cause as Error;
  const untrusted = protocol === 'amqps:' ? certificateProblem(cause) : null;
  if (untrusted !== null)
    return new PipelineError('permanent', 'CERTIFICATE_REFUSED', `cannot use the broker at ${host}: ${untrusted}`, {
      cause,
    });
  if (message.includes('ACCESS-REFUSED')) {
    const user = decodeURIComponent(username) || 'guest';
    return new PipelineError(
      'permanent',
      'LOGIN_REFUSED',
      `the broker refuses the login of ${user}: check user and password in RABBITMQ_URL`,
      { cause },
    );
  }
  if (message.startsWith('Expected ConnectionOpenOk')) {
    const vhost = decodeURIComponent(pathname.slice(1)) || '/';
    const help =
      `the broker refuses the virtual host ${vhost}: does it exist, ` +
      `and does the user have rights on it? (the path of RABBITMQ_URL; %2F is /)`;
    return new PipelineError('transient', 'VHOST_REFUSED', help, { cause });
  }
  return null;
}

/**
 * Sends everything written in one turn of the event loop in one system call (docs/decisions/0013). amqplib writes each
 * frame separately, two per publish, and has no option to change that; `stream` is not in its types.
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
