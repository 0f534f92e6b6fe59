import { expect, test } from 'vitest';
import { createPauses } from '../../../src/consume/index.ts';

function createStage(isPaused = false) {
  const did: string[] = [];
  const consumer = {
    pause: async () => void did.push('pause'),
    resume: async () => void did.push('resume'),
  };
  return { did, pauses: createPauses(consumer, isPaused) };
}

test('a worker takes deliveries again when nobody wants it paused any more', async () => {
  const { did, pauses } = createStage();
  await pauses.pause('memory');
  await pauses.pause('operator');
  await pauses.resume('memory');
  expect(did).toEqual(['pause']);
  await pauses.resume('operator');
  expect(did).toEqual(['pause', 'resume']);
  await pauses.resume('memory');
  expect(did).toEqual(['pause', 'resume']);
});

test('one that began paused by an operator stays so, whatever its memory does', async () => {
  const { did, pauses } = createStage(true);
  await pauses.pause('memory');
  await pauses.resume('memory');
  expect(did).toEqual([]);
  await pauses.resume('operator');
  expect(did).toEqual(['resume']);
});
