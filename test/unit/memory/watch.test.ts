import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchMemory } from '../../../src/memory/index.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function createStage(
  limits: { softBytes: number | null; hardBytes: number | null } = { softBytes: 100, hardBytes: 200 },
) {
  const did: string[] = [];
  const stage = { used: 50, isIdle: false, did };
  const watch = watchMemory({
    limits,
    used: () => stage.used,
    relief: {
      pause: () => did.push('pause'),
      resume: () => did.push('resume'),
      giveBack: () => did.push('give back'),
      drain: () => did.push('drain'),
      isIdle: () => stage.isIdle,
    },
    log: pino({ level: 'silent' }),
  });
  return { stage, did, watch };
}
const second = () => vi.advanceTimersByTime(1_000);

test('above the soft limit it pauses and gives memory back, once; well below it, it resumes', () => {
  const { stage, did } = createStage();
  second();
  expect(did).toEqual([]);
  stage.used = 100;
  second();
  expect(did).toEqual(['pause', 'give back']);
  stage.used = 98; // a little less is not enough
  second();
  expect(did).toEqual(['pause', 'give back']);
  stage.used = 90;
  second();
  expect(did).toEqual(['pause', 'give back', 'resume']);
  stage.used = 110;
  second();
  expect(did.slice(3)).toEqual(['pause', 'give back']);
});

test('above the hard limit it drains, once, whatever it was doing', () => {
  const { stage, did } = createStage();
  stage.used = 200;
  second();
  second();
  expect(did).toEqual(['drain']);
  stage.used = 10;
  second();
  expect(did).toEqual(['drain']);
});

test('a worker that holds nothing goes on with a little more: the allocator uses freed memory again', () => {
  const { stage, did } = createStage();
  stage.used = 120;
  vi.advanceTimersByTime(60_000); // it holds something, which may be what takes the memory
  expect(did).toEqual(['pause', 'give back']);
  stage.isIdle = true;
  vi.advanceTimersByTime(1_500);
  expect(did).toEqual(['pause', 'give back']);
  vi.advanceTimersByTime(2_000);
  expect(did).toEqual(['pause', 'give back', 'resume']);
  stage.used = 125; // within what it got
  second();
  expect(did).toHaveLength(3);
  stage.used = 130;
  second();
  expect(did.slice(3)).toEqual(['pause', 'give back']);
  stage.used = 90; // and now it has helped: the limit is the first again
  second();
  stage.used = 101;
  second();
  expect(did.slice(5)).toEqual(['resume', 'pause', 'give back']);
});

test('a worker that holds nothing and is close to its hard limit ends', () => {
  const { stage, did } = createStage();
  stage.used = 195;
  stage.isIdle = true;
  vi.advanceTimersByTime(5_000);
  expect(did).toEqual(['pause', 'give back', 'drain']);
});

test('without limits it does nothing', () => {
  const { stage, did } = createStage({ softBytes: null, hardBytes: null });
  stage.used = 1e12;
  second();
  expect(did).toEqual([]);
});

test('stopped, it does nothing', () => {
  const { stage, did, watch } = createStage();
  watch.stop();
  stage.used = 300;
  second();
  expect(did).toEqual([]);
});
