import { BlockList, isIP } from 'node:net';
import { createLimits, gateRouter, type Keyring, type Limits, openKeyring } from '../access/index.ts';
import type { Config } from '../config.ts';
import { expressPath, type Operation } from '../runtime/http/index.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';
import { markKeysUsed, readKeyChanges, type Store } from '../store/index.ts';
import { statementDeadlineMs } from './limits.ts';

export type Access = {
  readonly limits: Limits;
  /** Goes before every other router. */
  gate(operations: readonly Operation[]): ReturnType<typeof gateRouter>;
  close(): Promise<void>;
};

const here = new BlockList();
here.addSubnet('127.0.0.0', 8, 'ipv4');
here.addAddress('::1', 'ipv6');

/**
 * Who may do what: API keys and limits.
 * @throws {StartError} if there are no keys and others can reach the API.
 */
export async function openAccess(config: Config, store: Store, log: Logger): Promise<Access> {
  const keyring = await openKeyring({
    readKeys: (since) => readKeyChanges(store, since, statementDeadlineMs),
    markUsed: (ids) => markKeysUsed(store, ids, statementDeadlineMs),
    secret: config.apiKeySecret ?? '',
    log,
  });
  try {
    requireKeys(config, keyring, log);
    const shared = await openLimitStore(config);
    const limits = createLimits({ redis: shared?.client ?? null, apis: () => keyring.apis });
    return {
      limits,
      gate: (operations) =>
        gateRouter({
          endpoints: operations.map(({ method, path, scope }) => ({ method, path: expressPath(path), scope })),
          perMinute: config.keyRequestsPerMinute,
          ...{ keyring, limits, log },
        }),
      async close() {
        shared?.close();
        await keyring.close();
      },
    };
  } catch (error) {
    await keyring.close();
    throw error;
  }
}

/** @throws {StartError} */
function requireKeys({ publishedHost, allowsOpenApi }: Config, { isOpen }: Keyring, log: Logger): void {
  if (!isOpen) return;
  if (!allowsOpenApi && !isLoopback(publishedHost))
    throw new StartError(
      `there is no API key, and others can reach this API (at ${publishedHost}): whoever does could read and change\n` +
        'everything. Create a key with `afterword keys create NAME`, or set ALLOW_OPEN_API=yes-i-understand',
    );
  log[allowsOpenApi ? 'info' : 'warn'](
    'the API is open: whoever reaches it may read and change everything. `afterword keys create NAME` creates a key; ' +
      'from then on, requests need one',
  );
}

/** Only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIP(host) !== 0 && here.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'));
}

/** Only if anything can be limited: keys may have limits of their own. */
async function openLimitStore({ redisUrl }: Config) {
  if (redisUrl === null) return null;
  return (await import('../redis/index.ts')).limitStore(redisUrl, `afterword-limits-${process.pid}`);
}
