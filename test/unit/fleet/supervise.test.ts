import { type ChildProcess, spawn } from 'node:child_process';
import { expect, onTestFinished, test, vi } from 'vitest';
import { supervise } from '../../../src/fleet/index.ts';
import { createLogger } from '../../../src/runtime/log.ts';

/** A process that is ready after a while, and takes a while to end. */
const program = (readyMs: number, endMs: number) => `
  process.on('SIGTERM', () => setTimeout(() => process.exit(0), ${endMs}));
  process.send({ up: true });
  setTimeout(() => process.send({ ready: true }), ${readyMs});
  setInterval(() => {}, 1000);
`;

function start(readyMs: (n: number) => number, endMs = 20) {
  const stop = new AbortController();
  const children: ChildProcess[] = [];
  const [up, ready]: [number[], number[]] = [[], []];
  const supervised = supervise('one', {
    start(onReady) {
      const n = children.length;
      const child = spawn(process.execPath, ['-e', program(readyMs(n), endMs)], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      child.on('message', (message) => {
        const isReady = (message as { ready?: true }).ready === true;
        (isReady ? ready : up).push(n);
        if (isReady) onReady({});
      });
      children.push(child);
      return child;
    },
    drainMs: 2_000,
    until: stop.signal,
    onReady: () => {},
    mayGiveUp: () => true,
    onHopeless: () => {},
    log: createLogger({ role: 'test', level: 'silent', format: 'json' }),
  });
  onTestFinished(async () => {
    stop.abort();
    await supervised.ended;
  });
  return { supervised, children, up, ready };
}
const waitFor = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 10 });

test('a restart is over when the next process is ready, not when the last one was late to say that it is', async () => {
  // The first says so only while it is being drained.
  const { supervised, children, up, ready } = start((n) => (n === 0 ? 300 : 100), 600);
  await waitFor(() => expect(up).toEqual([0]));
  await supervised.restart();
  expect(ready).toEqual([0, 1]);
  expect(children).toHaveLength(2);
  expect(children[0]?.exitCode).toBe(0);
});

test('a process that died by itself is not ended once more for a restart that was asked for meanwhile', async () => {
  const { supervised, children, ready } = start(() => 50);
  await waitFor(() => expect(ready).toEqual([0]));
  children[0]?.kill('SIGKILL');
  // Meanwhile it waits before it starts the next one.
  await waitFor(() => expect(children[0]?.signalCode).toBe('SIGKILL'));
  await supervised.restart();
  expect(ready).toEqual([0, 1]);
  expect(children).toHaveLength(2);
});

test('restarts that are asked for together are one', async () => {
  const { supervised, children, ready } = start(() => 50);
  await waitFor(() => expect(ready).toEqual([0]));
  await Promise.all([supervised.restart(), supervised.restart()]);
  expect(children).toHaveLength(2);
});

test('a restart that is asked for while another is under way ends both', async () => {
  const { supervised, children, up, ready } = start((n) => (n === 1 ? 60_000 : 50));
  await waitFor(() => expect(ready).toEqual([0]));
  const first = supervised.restart();
  await waitFor(() => expect(up).toEqual([0, 1]));
  await Promise.all([first, supervised.restart()]);
  expect(children).toHaveLength(3);
  expect(ready).toEqual([0, 2]);
});
