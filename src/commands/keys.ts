import { fingerprintOf, hashToken, newToken } from '../access/index.ts';
import type { KnownKey } from '../access/ports.ts';
import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import type { Scope } from '../runtime/http/caller.ts';
import { UsageError } from '../runtime/start-error.ts';
import { statementDeadlineMs as deadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import { createKey, listKeys, revokeKeys, rotateKey, type Store } from '../store/index.ts';
import { counted, plain, printJson, printLine, printTable } from '../terminal/print.ts';

export async function runKeysCreate(
  config: Config,
  name: string,
  options: {
    readonly scope: readonly Scope[];
    readonly user?: string;
    readonly rate?: number;
    /** Milliseconds. */
    readonly expires?: number;
    readonly json: boolean;
  },
): Promise<number> {
  if (options.user !== undefined && options.scope.some((scope) => scope !== 'submit' && scope !== 'read'))
    throw new UsageError(
      'a key for some users can only have the scopes submit and read: the others are about all users',
    );
  return withStore(config, async (store) => {
    const { token, ...stored } = make(config);
    const key = await createKey(
      store,
      { ...stored, name, scopes: options.scope, boundTo: options.user ?? null, perMinute: options.rate ?? null },
      { actor: operatorName(), validMs: options.expires ?? null, deadlineMs },
    );
    if (key === null)
      throw new UsageError(
        `there is a key named "${plain(name)}": choose another name, or \`afterword keys rotate\` it`,
      );
    tellToken(token, key, options.json);
    return exitCodes.ok;
  });
}

export async function runKeysRotate(
  config: Config,
  name: string,
  options: { readonly grace: number; readonly expires?: number; readonly json: boolean },
): Promise<number> {
  return withStore(config, async (store) => {
    const { token, ...next } = make(config);
    const by = { actor: operatorName(), graceMs: options.grace, validMs: options.expires ?? null, deadlineMs };
    const key = await rotateKey(store, name, next, by);
    if (key === null)
      throw new UsageError(`no valid key is named "${plain(name)}" (\`afterword keys list\` shows them)`);
    if (!options.json)
      process.stderr.write(
        `the previous token stays valid until ${new Date(Date.now() + options.grace).toISOString()}\n`,
      );
    tellToken(token, key, options.json);
    return exitCodes.ok;
  });
}

export async function runKeysRevoke(config: Config, key: string, options: { readonly json: boolean }): Promise<number> {
  return withStore(config, async (store) => {
    const revoked = await revokeKeys(store, key, { actor: operatorName(), deadlineMs });
    if (revoked.length === 0)
      throw new UsageError(`no active key is named "${plain(key)}" (\`afterword keys list\` shows them)`);
    if (options.json) printJson({ revoked });
    else printLine(`${counted(revoked.length, 'token')} revoked: every API refuses it within two seconds`);
    return exitCodes.ok;
  });
}

export async function runKeysList(
  config: Config,
  options: { readonly all: boolean; readonly json: boolean },
): Promise<number> {
  return withStore(config, async (store) => {
    const known = await listKeys(store, deadlineMs);
    const shown = options.all ? known : known.filter((key) => stateOf(key) === 'valid');
    if (options.json) printJson({ keys: shown.map(present) });
    else if (known.length === 0) printLine('no keys: the API asks for none. `afterword keys create NAME` creates one');
    else if (shown.length === 0) printLine('no valid keys: nobody can use the API (`--all` shows those there were)');
    else
      printTable(
        [
          { head: 'NAME', min: 8 },
          { head: 'ID' },
          { head: 'SCOPES' },
          { head: 'USERS', min: 5 },
          { head: 'RATE', rank: 5 },
          { head: 'STATE' },
          { head: 'EXPIRES', rank: 6 },
          { head: 'LAST USED', rank: 4 },
          { head: 'CREATED', rank: 3 },
          { head: 'BY', min: 8, rank: 2 },
        ],
        shown.map((key) => [
          key.name,
          key.keyId,
          key.scopes.join(','),
          key.boundTo ?? 'all',
          key.perMinute === null ? 'default' : `${key.perMinute}/min`,
          stateOf(key),
          key.expiresAt ?? 'never',
          key.lastUsedAt ?? 'never',
          key.createdAt,
          key.createdBy,
        ]),
      );
    return exitCodes.ok;
  });
}

async function withStore(config: Config, work: (store: Store) => Promise<number>): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  return await work(store); // before the store closes
}

function make({ apiKeySecret }: Config) {
  const { token, keyId } = newToken();
  const secret = apiKeySecret ?? '';
  return { token, keyId, hash: hashToken(token, secret), hashedWith: fingerprintOf(secret) };
}

/** The token alone goes to stdout: KEY=$(afterword keys create app) gets it. */
function tellToken(token: string, key: KnownKey, isJson: boolean): void {
  if (isJson) {
    printJson({ ...present(key), token });
    return;
  }
  process.stderr.write(
    `key ${plain(key.name)} (${key.keyId}) for ${key.scopes.join(', ')}` +
      `${key.expiresAt === null ? '' : `, until ${key.expiresAt.toISOString()}`}. ` +
      'Its token is shown only now' +
      `${key.hashedWith === '' ? '' : '; every API needs the same API_KEY_SECRET as this command'}:\n`,
  );
  printLine(token);
}

function present(key: KnownKey) {
  return {
    name: key.name,
    key_id: key.keyId,
    scopes: key.scopes,
    users: key.boundTo,
    per_minute: key.perMinute,
    state: stateOf(key),
    created_at: key.createdAt,
    created_by: key.createdBy,
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
    last_used_at: key.lastUsedAt,
  };
}

function stateOf({ revokedAt, expiresAt }: KnownKey): 'valid' | 'revoked' | 'expired' {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && expiresAt.getTime() <= Date.now() ? 'expired' : 'valid';
}
