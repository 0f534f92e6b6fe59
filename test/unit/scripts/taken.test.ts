import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { passwordOf } from '../../../scripts/servers/password.ts';
import { readTaken, whyNotDocker, writeTaken } from '../../../scripts/servers/taken.ts';

const dockerAnswers = async () => null;
const dockerIsAway = async () => 'no Docker engine answers';

test('the first time, Docker is used if it answers', async () => {
  expect(await whyNotDocker(null, null, '/x/servers', dockerAnswers)).toBeNull();
  expect(await whyNotDocker(null, null, '/x/servers', dockerIsAway)).toBe('no Docker engine answers');
  expect(await whyNotDocker('private', null, '/x/servers', dockerAnswers)).toBe('AFTERWORD_SERVERS=private');
  await expect(whyNotDocker('docker', null, '/x/servers', dockerIsAway)).rejects.toThrow(
    'AFTERWORD_SERVERS=docker, but: no Docker engine answers',
  );
});

test('later, whatever holds the data is used, even if a Docker engine has appeared since', async () => {
  expect(await whyNotDocker(null, 'private', '/x/servers', dockerAnswers)).toMatch(/it has the data/);
  expect(await whyNotDocker(null, 'docker', '/x/servers', dockerAnswers)).toBeNull();
});

test.each([
  ['docker', 'private', 'Docker volumes'],
  ['private', 'docker', 'private instances'],
] as const)('data of %s servers are not silently left behind for %s ones', async (kept, wish, place) => {
  await expect(whyNotDocker(wish, kept, '/x/servers', dockerAnswers)).rejects.toThrow(
    new RegExp(`the data of this checkout are in ${place}.*echo ${wish} > '/x/servers'`, 's'),
  );
});

test('if the data are in Docker, only Docker will do', async () => {
  await expect(whyNotDocker(null, 'docker', '/x/servers', dockerIsAway)).rejects.toThrow(
    /data of this checkout are in Docker volumes.*Start Docker/s,
  );
});

test('the kind of servers in use is remembered', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-taken-'));
  expect(await readTaken(folder)).toBeNull();
  await writeTaken(folder, 'docker');
  expect(await readTaken(folder)).toBe('docker');
  await rm(folder, { recursive: true });
});

test('a password is made once, and for nobody else to read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'afterword-password-'));
  const made = await passwordOf(folder);
  expect(made).toMatch(/^[\w-]{24}$/);
  expect(await passwordOf(folder)).toBe(made);
  expect((await stat(join(folder, 'password'))).mode & 0o777).toBe(0o600);
  await rm(folder, { recursive: true });
});
