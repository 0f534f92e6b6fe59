import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createReadiness } from '../../../src/health/index.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

const silent = new Error('no answer');
const refused = new Error('refused');

function createStage() {
  const stage = { now: 0, asked: 0, probe: (): Promise<void> => Promise.resolve() };
  const look = createReadiness({
    probe: () => {
      stage.asked++;
      return stage.probe();
    },
    isSilence: (error) => error === silent,
    now: () => stage.now,
  });
  return { stage, look };
}

test('a database that answered within a second is not asked again, and all who wait share one question', async () => {
  const { stage, look } = createStage();
  expect(await Promise.all([look(), look(), look()])).toEqual(['up', 'up', 'up']);
  expect(stage.asked).toBe(1);
  stage.now = 900;
  expect(await look()).toBe('up');
  expect(stage.asked).toBe(1);
  stage.now = 1_100;
  expect(await look()).toBe('up');
  expect(stage.asked).toBe(2);
});

test('one that refuses is down at once, and up again at once', async () => {
  const { stage, look } = createStage();
  await look();
  stage.now = 2_000;
  stage.probe = () => Promise.reject(refused);
  expect(await look()).toBe('down');
  stage.probe = () => Promise.resolve();
  expect(await look()).toBe('up');
});

test('one that does not answer is slow for ten seconds, then down', async () => {
  const { stage, look } = createStage();
  await look();
  stage.probe = () => Promise.reject(silent);
  stage.now = 9_900;
  expect(await look()).toBe('slow');
  stage.now = 10_100;
  expect(await look()).toBe('down');
});

test('a probe gets its answer within a second, whatever the database does', async () => {
  const { stage, look } = createStage();
  await look();
  stage.now = 5_000;
  stage.probe = () => new Promise(() => {});
  const answer = look();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await answer).toBe('slow');
});

test('one that has never answered is down', async () => {
  const { stage, look } = createStage();
  stage.probe = () => Promise.reject(silent);
  expect(await look()).toBe('down');
});
