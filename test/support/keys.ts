import { expect } from 'vitest';
import { runCommand } from './member.ts';

/** Creates a key by the command. @returns its token. */
export async function createKey(env: Record<string, string>, name: string, ...options: string[]): Promise<string> {
  const { code, output } = await runCommand(['keys', 'create', name, ...options], env);
  expect(code, output).toBe(0);
  return output.split('\n').find((line) => line.startsWith('afw_live_')) ?? output;
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
