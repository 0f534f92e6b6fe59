import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { findFleet, writePidFile } from '../../../src/fleet/index.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'afterword-pid-'));
  vi.stubEnv('TMPDIR', folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});
const path = (port: number) => join(folder, `afterword-${userInfo().uid}`, `fleet-${port}.json`);

test('a fleet is found while it runs, and nobody is when it has ended', () => {
  expect(findFleet(1)).toBeNull();
  const remove = writePidFile(1);
  expect(findFleet(1)).toBe(process.pid);
  expect(findFleet(2)).toBeNull();
  remove();
  expect(findFleet(1)).toBeNull();
});

test('a process that has the number of a fleet that was killed is not taken for it', () => {
  const remove = writePidFile(3);
  const entry = JSON.parse(readFileSync(path(3), 'utf8'));
  writeFileSync(path(3), JSON.stringify({ ...entry, startedAt: '1' }));
  expect(findFleet(3)).toBeNull();
  for (const text of ['', '1', 'null', '{"pid":1,"startedAt":"1"}', '{"pid":"x"}']) {
    writeFileSync(path(3), text);
    expect(findFleet(3)).toBeNull();
  }
  remove();
});

test('a second fleet does not take the place of one that runs, and does not remove what is not its own', () => {
  const remove = writePidFile(4);
  const removeSecond = writePidFile(4);
  removeSecond();
  expect(findFleet(4)).toBe(process.pid);
  const other = JSON.stringify({ pid: process.ppid, startedAt: '1' });
  writeFileSync(path(4), other);
  remove();
  expect(readFileSync(path(4), 'utf8')).toBe(other);
});
