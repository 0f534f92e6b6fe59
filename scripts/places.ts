import { hash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where a checkout keeps its servers. `checkout`: a name that is unique to the checkout, for machine-wide things
 * (Docker volumes). `data`: the data folder of private instances. It is in the checkout unless that path contains
 * blanks, which the servers' set-up scripts do not quote.
 *
 * `/var/tmp`, unlike `/tmp`, survives a restart of the machine.
 */
export function placesOf(root: string, env: NodeJS.ProcessEnv): { readonly checkout: string; readonly data: string } {
  const checkout = `afterword-${hash('sha256', root).slice(0, 8)}`;
  const shared = env['XDG_DATA_HOME'] || join(homedir(), '.local/share');
  const candidates = [join(root, '.afterword'), join(shared, checkout), join('/var/tmp', checkout)];
  return { checkout, data: candidates.find((path) => !/\s/.test(path)) ?? '' };
}
