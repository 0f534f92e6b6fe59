import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy between a process and its server, for what a network does. */
export type Proxy = {
  readonly port: number;
  /** Nothing passes any more in either direction, on old and new connections; nobody is told. */
  silence(): void;
  /** New connections pass. Those that were silenced stay dead, as after a failover. */
  restore(): void;
  close(): Promise<void>;
};

export async function createProxy(target: URL): Promise<Proxy> {
  // Read now: the caller may turn the same URL into the proxy's.
  const { hostname, port } = target;
  let silent = false;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on('error', () => {}).on('close', () => open.delete(client));
    if (silent) return void client.pause();
    const upstream = connect(Number(port), hostname);
    open.add(upstream);
    upstream.on('error', () => client.destroy()).on('close', () => open.delete(upstream));
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    silence() {
      silent = true;
      for (const socket of open) socket.unpipe().pause();
    },
    restore() {
      silent = false;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
