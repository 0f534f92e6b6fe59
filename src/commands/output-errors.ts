import { exitCodes } from './exit-codes.ts';

/** Whoever reads our output may stop (`| head`), which is no failure of ours; a device may be full, which is. */
export function endOnOutputErrors(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    process.stderr.write(`afterword: the output cannot be written: ${error.message}\n`);
    process.exit(exitCodes.failed);
  });
  process.stderr.on('error', () => {});
}
