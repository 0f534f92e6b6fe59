import { exitCodes } from './exit-codes.ts';

let mayEnd = true;

/** The reader of our output may stop (`| head`), which is no failure of ours; a device may be full, which is. */
export function endOnOutputErrors(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!mayEnd) return;
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    process.stderr.write(`afterword: the output cannot be written: ${error.message}\n`);
    process.exit(exitCodes.failed);
  });
  process.stderr.on('error', () => {});
}

/** For a process whose output is a log: what it does goes on without a reader, and ends by a signal only. */
export function outliveOutput(): void {
  mayEnd = false;
}
