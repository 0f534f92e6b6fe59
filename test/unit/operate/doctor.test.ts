import { expect, test } from 'vitest';
import { judgeDatabase, judgeProcess } from '../../../src/operate/doctor.ts';

const facts = {
  node: 'v24',
  openFiles: null,
  cores: 2,
  threads: 2,
  inFlight: 10,
  waits: null,
  replicas: 1,
  longestWaitMs: 1_000,
  consumerTimeoutMs: 2_000,
  scorerFailed: null,
  scorer: 'friendship@2',
} as const;
const find = (check: string, more: Partial<Parameters<typeof judgeProcess>[0]>) =>
  judgeProcess({ ...facts, ...more }).find((finding) => finding.check === check);

test.each([
  [{}, 'up to 10 scorings at a time on 2 threads (2 if the scorer only uses the CPU)'],
  [
    { threads: 8, replicas: 2 },
    'up to 10 scorings at a time on 8 threads (8 if the scorer only uses the CPU); 20 in 2 workers',
  ],
  [{ waits: true, inFlight: 120, replicas: 4 }, 'up to 120 scorings at a time on 2 threads; 480 in 4 workers'],
  [
    { waits: false, replicas: 2 },
    '2 scorings at a time, 10 prefetched (the scorer declares waits: false); 4 in 2 workers',
  ],
])('says how many scorings can be in flight: %j', (more, found) => {
  expect(find('concurrency', more)).toEqual({ check: 'concurrency', status: 'ok', found });
});

test('says nothing about it when the scorer does not even load', () => {
  expect(find('concurrency', { scorerFailed: 'no such module' })).toBeUndefined();
});

test('a delivery that may wait longer than the broker allows is a warning, with the fix', () => {
  expect(find('consumer timeout', { longestWaitMs: 2_001 })).toMatchObject({
    status: 'warn',
    advice: expect.stringContaining('waits: true'),
  });
  expect(find('consumer timeout', { longestWaitMs: 2_000 })).toMatchObject({ status: 'ok' });
});

test('a server that lets vanished hosts keep their locks for hours is a warning', () => {
  const database = {
    version: '9.7.0',
    isMariaDb: false,
    flushAtCommit: 1,
    binaryLog: true,
    syncBinlog: 1,
    maxConnections: 151,
    connections: 1,
    maxAllowedPacket: 67_108_864,
    writesRefused: null,
    charset: 'utf8mb4',
    idleLimitS: 60,
    sessionOffsetMinutes: 0,
    clockSkewMs: 0,
    roundTripMs: 1,
    schemaCurrent: true,
  };
  const of = (idleLimitS: number) =>
    judgeDatabase({ ...database, idleLimitS }, { members: 3, poolSize: 10, maxBodyBytes: 1_048_576 }).find(
      ({ check }) => check === 'vanished hosts',
    );
  expect(of(60)).toMatchObject({ status: 'ok' });
  expect(of(28_800)).toMatchObject({ status: 'warn', advice: expect.stringContaining('wait_timeout = 60') });
});
