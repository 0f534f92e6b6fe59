import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** `up`: from the process to its server. */
type Direction = 'up' | 'down';

/** A TCP proxy between processes and their server, for simulating network faults. */
export type TcpProxy = {
  readonly port: number;
  /** `url` through this proxy. */
  through(url: string): string;
  /** From now on nothing passes in these directions, on old and new connections; neither end is told. */
  silence(...directions: Direction[]): void;
  /** Ends every connection with a reset; new ones are refused. */
  refuse(): Promise<void>;
  /** Ends every connection with a reset; new ones pass. */
  cut(): void;
  /**
   * Every client vanishes like a host that loses power: its server hears nothing more from it, not even a close. New
   * connections work.
   */
  vanish(): void;
  /** Delays every chunk by `ms` to `ms + jitterMs`, in order. */
  slow(ms: number, jitterMs: number): void;
  /** Delivers chunks in pieces of `bytes`, `everyMs` apart. */
  trickle(bytes: number, everyMs: number): void;
  /** Holds back the next chunk that contains `bytes` and silences its direction. Resolves when that has happened. */
  holdAt(direction: Direction, bytes: Buffer | string): Promise<void>;
  /**
   * Lets the next upstream chunk that contains `bytes` pass, and nothing downstream after it: its answer is lost.
   * Resolves when that has happened.
   */
  loseAnswerTo(bytes: Buffer | string): Promise<void>;
  /**
   * Lets `change` corrupt the next upstream chunk that contains `bytes`, in place; `at` is where they end. Resolves
   * when that has happened.
   */
  spoil(bytes: Buffer, change: (chunk: Buffer, at: number) => void): Promise<void>;
  /** New connections work normally again. Silenced ones stay dead, as after a failover. */
  restore(): Promise<void>;
  close(): Promise<void>;
};

type Spoil = {
  readonly bytes: Buffer;
  readonly change: (chunk: Buffer, at: number) => void;
  readonly seen: () => void;
};
type Hold = {
  readonly direction: Direction;
  readonly bytes: Buffer;
  readonly silences: Direction;
  readonly seen: () => void;
};
type Weather = { readonly lateMs: number; readonly jitterMs: number; readonly piece: number };
const calm: Weather = { lateMs: 0, jitterMs: 0, piece: Number.POSITIVE_INFINITY };

/** @param target  where new connections go; a function is called for each one. */
export async function createProxy(target: URL | (() => URL)): Promise<TcpProxy> {
  const silent = new Set<Direction>();
  const open = new Set<Socket>();
  const holds = new Set<Hold>();
  const spoils = new Set<Spoil>();
  /** Clients, with their upstream sockets. */
  const pairs = new Map<Socket, Socket>();
  /** Upstream sockets whose client has vanished: kept open, and silent. */
  const orphans = new Set<Socket>();
  let weather = calm;
  let server: Server;

  function onClient(client: Socket): void {
    const { hostname, port: targetPort } = typeof target === 'function' ? target() : target;
    const upstream = connect({ port: Number(targetPort), host: hostname, noDelay: true });
    client.setNoDelay(true);
    pairs.set(client, upstream);
    client.on('close', () => pairs.delete(client));
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket
        .on('error', () => {})
        .on('close', () => {
          open.delete(socket);
          orphans.delete(socket);
          if (!orphans.has(other)) other.destroy();
        });
    }
    void carry(client, upstream, 'up');
    void carry(upstream, client, 'down');
  }

  async function carry(from: Socket, to: Socket, direction: Direction): Promise<void> {
    let dead = false;
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        for (const hold of holds) {
          if (hold.direction !== direction || !chunk.includes(hold.bytes)) continue;
          holds.delete(hold);
          silent.add(hold.silences);
          hold.seen();
        }
        if (direction === 'up') spoilOnce(chunk);
        // A silenced connection stays silent: bytes are missing from it.
        dead ||= silent.has(direction);
        if (dead) continue;
        for (let at = 0; at < chunk.length; at += weather.piece) {
          if (weather.lateMs + weather.jitterMs > 0) await delay(weather.lateMs + Math.random() * weather.jitterMs);
          if (!to.write(chunk.subarray(at, at + weather.piece)))
            await new Promise((resolve) => to.once('drain', resolve).once('close', resolve));
        }
      }
      if (!orphans.has(to)) to.end();
    } catch {
      if (!orphans.has(to)) to.destroy();
    }
  }

  function spoilOnce(chunk: Buffer): void {
    for (const spoil of spoils) {
      const at = chunk.indexOf(spoil.bytes);
      if (at < 0) continue;
      spoils.delete(spoil);
      spoil.change(chunk, at + spoil.bytes.length);
      spoil.seen();
    }
  }

  function listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      server = createServer(onClient);
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  }

  function cut(): void {
    for (const socket of open) socket.resetAndDestroy();
  }

  const port = await listen(0);
  return {
    port,
    through(url) {
      const parsed = new URL(url);
      parsed.hostname = '127.0.0.1';
      parsed.port = String(port);
      return parsed.href;
    },
    silence(...directions) {
      for (const direction of directions) silent.add(direction);
    },
    async refuse() {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
    cut,
    vanish() {
      for (const [client, upstream] of pairs) {
        orphans.add(upstream);
        client.destroy();
      }
      silent.clear();
      holds.clear();
    },
    slow(ms, jitterMs) {
      weather = { ...calm, lateMs: ms, jitterMs };
    },
    trickle(bytes, everyMs) {
      weather = { lateMs: everyMs, jitterMs: 0, piece: bytes };
    },
    holdAt(direction, bytes) {
      return new Promise((resolve) =>
        holds.add({ direction, bytes: Buffer.from(bytes as string), silences: direction, seen: resolve }),
      );
    },
    loseAnswerTo(bytes) {
      return new Promise((resolve) =>
        holds.add({ direction: 'up', bytes: Buffer.from(bytes as string), silences: 'down', seen: resolve }),
      );
    },
    spoil: (bytes, change) => new Promise((resolve) => spoils.add({ bytes, change, seen: resolve })),
    async restore() {
      silent.clear();
      holds.clear();
      spoils.clear();
      weather = calm;
      if (!server.listening) await listen(port);
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
