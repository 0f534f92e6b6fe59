import { exitCodes } from '../runtime/exit-codes.ts';

let mayEnd = true;

/** Ends the process when its output fails. A reader that stops early (`| head`) is not a failure; a full device is. */
export function endOnOutputErrors(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!mayEnd) return;
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    process.stderr.write(`afterword: the output cannot be written: ${error.message}\n`);
    process.exit(exitCodes.failed);
  });
  process.stderr.on('error', () => {});
}

/** For a process whose output is a log: it keeps working without a reader, and ends only on a signal. */
export function outliveOutput(): void {
  mayEnd = false;
}
