import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from '../../scripts/servers/process.ts';

const run = promisify(execFile);

/** Debian's package has both programs. Installed as servers are, if they are not there. */
export async function findPrometheus(): Promise<{ readonly prometheus: string; readonly promtool: string }> {
  const look = () => Promise.all([findProgram('prometheus'), findProgram('promtool')]);
  let [prometheus, promtool] = await look();
  if (prometheus === null || promtool === null) {
    const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
    const apt = [...sudo, 'apt-get', '-qq', '-y'];
    const [command = '', ...args] = apt;
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run(command, [...args, 'update'], { env });
    // Its own service must not start: only the programs are wanted.
    await run(
      command,
      [...args, '-o', 'Dpkg::Options::=--force-confold', 'install', '--no-install-recommends', 'prometheus'],
      {
        env: { ...env, RUNLEVEL: '1' },
        maxBuffer: 1e8,
      },
    );
    [prometheus, promtool] = await look();
  }
  if (prometheus === null || promtool === null)
    throw new Error('prometheus and promtool are missing: install the package `prometheus`');
  return { prometheus, promtool };
}
