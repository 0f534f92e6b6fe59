import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore } from '../../../src/store/index.ts';

/** A server that accepts connections and never answers: a stopped process, or a proxy whose database is gone. */
let silent: Server;
let taken: Socket[];
let url: string;
beforeEach(async () => {
  taken = [];
  silent = createServer((socket) => void taken.push(socket.on('error', () => {}))).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  url = `mysql://a:b@127.0.0.1:${(silent.address() as AddressInfo).port}/afterword`;
});
afterEach(() => {
  for (const socket of taken) socket.destroy();
  silent.close();
});

test('opening a database that accepts connections and never answers is given up at the deadline', async () => {
  await expect(openStore(url, { poolSize: 2, connectTimeoutMs: 300 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
});

test('a process told to stop does not wait for it', async () => {
  const stop = new AbortController();
  const opening = openStore(url, { poolSize: 2, connectTimeoutMs: 600_000, stop: stop.signal });
  await once(silent, 'connection');
  stop.abort('SIGTERM');
  await expect(opening).rejects.toBe('SIGTERM');
});
