import { connect, type Socket } from 'node:net';

/** A client that sends whatever bytes it likes, as slowly as it likes. */
export type RawClient = {
  readonly socket: Socket;
  write(bytes: string | Buffer): void;
  /** Statuses of the answers so far. */
  seen(): number[];
  /** Everything received so far. */
  text(): string;
  /** Resolves when this many answers have begun, with the status of each; fewer if the server ends the connection. */
  statuses(n: number): Promise<number[]>;
  /** Resolves when the server has ended the connection. */
  readonly ended: Promise<void>;
};

export function openRaw(url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = '';
    const ended = new Promise<void>((done) => socket.once('close', () => done()));
    socket.setEncoding('latin1').on('data', (text) => {
      received += text;
    });
    socket.on('error', reject); // once connected this has no effect: `ended` follows
    const seen = () => [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
    socket.once('connect', () =>
      resolve({
        socket,
        ended,
        seen,
        text: () => received,
        write: (bytes) => void socket.write(bytes),
        async statuses(n) {
          while (seen().length < n && !socket.destroyed) {
            await Promise.race([new Promise((next) => socket.once('data', next)), ended]);
          }
          return seen();
        },
      }),
    );
  });
}

/** A whole request, or only its head if there is no body. */
export function rawPost(body: string | null, headers: Record<string, string | number>): string {
  const lines = Object.entries({ host: 'x', 'content-type': 'application/json', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `POST /v1/conversations/end HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`;
}
