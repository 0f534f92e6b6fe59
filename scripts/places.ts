import { hash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where a checkout's servers are. `checkout`: a name that no other checkout has, for what belongs to the machine
 * (Docker's volumes). `data`: where private instances keep theirs: in the checkout, but not below a path with blanks,
 * which the scripts that set servers up pass on without quotes.
 *
 * `/var/tmp`, unlike `/tmp`, outlives a restart of the machine.
 */
export function placesOf(root: string, env: NodeJS.ProcessEnv): { readonly checkout: string; readonly data: string } {
  const checkout = `afterword-${hash('sha256', root).slice(0, 8)}`;
  const shared = env['XDG_DATA_HOME'] || join(homedir(), '.local/share');
  const candidates = [join(root, '.afterword'), join(shared, checkout), join('/var/tmp', checkout)];
  return { checkout, data: candidates.find((path) => !/\s/.test(path)) ?? '' };
}
