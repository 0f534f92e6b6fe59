import { expect, test } from 'vitest';
import { createHeapWatch } from '../../../src/score/heap-watch.ts';

function createStage() {
  const heap = { live: 10, garbage: 0, at: 0, collections: 0 };
  const watch = createHeapWatch(50, {
    now: () => heap.at,
    used: () => heap.live + heap.garbage,
    collect: () => {
      heap.collections++;
      heap.garbage = 0;
      heap.at += 10;
    },
  });
  return { heap, watch };
}

test('below the alarm nothing is collected; above it, what is left counts', () => {
  const { heap, watch } = createStage();
  heap.garbage = 30;
  expect(watch()).toBe(40);
  expect(heap.collections).toBe(0);
  heap.garbage = 90;
  expect(watch()).toBe(10);
  heap.live = 60;
  heap.at += 1_000;
  expect(watch()).toBe(60);
  expect(heap.collections).toBe(2);
});

test('a scorer that makes much garbage is collected once per filling of its heap, as V8 would', () => {
  const { heap, watch } = createStage();
  for (let n = 0; n < 1_000; n++) {
    heap.garbage += 1;
    heap.at += 1; // a scoring
    watch();
  }
  expect(heap.collections).toBeLessThanOrEqual(1_000 / (50 - 10));
});

test('what grows between two collections is noticed before the heap is full', () => {
  const { heap, watch } = createStage();
  heap.garbage = 90;
  watch();
  heap.live = 55;
  heap.at += 1;
  expect(watch()).toBe(10);
  heap.live = 57;
  expect(watch()).toBe(57);
});
