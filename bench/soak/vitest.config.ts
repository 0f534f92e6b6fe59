import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = fileURLToPath(new URL('../..', import.meta.url));

export default defineConfig({
  root,
  test: {
    include: ['bench/soak/*.test.ts'],
    testTimeout: 4 * 3_600_000,
    hookTimeout: 180_000,
    disableConsoleIntercept: true,
  },
});
