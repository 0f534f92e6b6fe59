import { exitCodes } from '../src/runtime/exit-codes.ts';

// If the reader is gone (`2>&1 | tee`, then Ctrl-C), everything is still stopped in order.
process.stderr.on('error', () => {});

/** Prints a line for the person at the terminal, on stderr: stdout is the fleet's log (`scripts/up > fleet.log`). */
export const say = (line: string): void => void process.stderr.write(`· ${line}\n`);

/** Prints why a script ends. @returns its exit code: 78 if the settings are wrong. */
export function explain(script: string, error: unknown): number {
  const { message, exitCode } = error as { message?: string; exitCode?: number };
  process.stderr.write(`${script}: ${message ?? String(error)}\n`);
  return exitCode ?? exitCodes.failed;
}

/** Seconds since the command was called, including the time before Node started. */
export function secondsSinceCall(): number {
  const called = Number(process.env['AFTERWORD_CALLED_AT']);
  return called > 0 ? Math.max(0, Math.round(Date.now() / 1_000 - called)) : Math.round(process.uptime());
}
