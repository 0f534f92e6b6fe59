import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from './process.ts';
import type { Say } from './server.ts';

const run = promisify(execFile);
let installing: Promise<unknown> = Promise.resolve();

/**
 * Installs a Debian package; one at a time, because the package manager takes a lock.
 *
 * @param options.otherwise  what else a person can do, for the error.
 * @throws {Error} that says what to do.
 */
export function installPackage(
  name: string,
  options: { readonly what: string; readonly otherwise: string; readonly say: Say },
): Promise<void> {
  const { what, say } = options;
  const job = installing.then(async () => {
    const byHand = `install ${name} by hand, or ${options.otherwise}`;
    const apt = await findProgram('apt-get');
    if (apt === null) throw new Error(`${what}: ${name} is not installed, and there is no apt-get here: ${byHand}`);
    const root = process.getuid?.() === 0;
    if (!root && (await findProgram('sudo')) === null) throw new Error(`${what}: installing needs root: ${byHand}`);
    const [command, prefix] = root ? [apt, []] : ['sudo', ['-n', apt]];
    say(`${what.padEnd(10)}  installing ${name} with apt-get (about 20 s)`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    try {
      await run(command, [...prefix, 'update', '-qq'], { env });
      await run(command, [...prefix, 'install', '-qq', '-y', '--no-install-recommends', name], { env, maxBuffer: 1e8 });
    } catch (cause) {
      throw new Error(`${what}: ${name} could not be installed; ${byHand}`, { cause });
    }
  });
  installing = job.catch(() => {});
  return job;
}
