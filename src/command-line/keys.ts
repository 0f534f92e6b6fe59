import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Scope, scopes } from '../runtime/http/caller.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** API keys: who may use the API, and for what. */
export function addKeys(program: Command): void {
  const keys = program.command('keys').description('API keys: who may use the API, and for what');
  keys
    .command('create')
    .description('create a key and print its token, once; from the first key on, requests need one')
    .argument('<name>', 'of the system that will use it, such as robot-backend', keyName)
    .addOption(
      new Option('--scope <scopes>', `what it may do, separated by commas: ${scopes.join(', ')}`)
        .argParser(scopeList)
        .default(usualScopes, usualScopes.join(',')),
    )
    .option('--user <id>', 'only for this user, or for all whose id begins so: acme-*', boundTo)
    .option('--rate <n>', 'requests per minute; default: KEY_REQUESTS_PER_MINUTE', parsers.count)
    .option('--expires <duration>', 'expires after: 90d, 12h; default: never', lifetime)
    .option('--json', 'print JSON', false)
    .action(
      runWith(
        async (
          config,
          name: string,
          options: Json & { scope: Scope[]; user?: string; rate?: number; expires?: number },
        ) => (await import('../commands/keys.ts')).runKeysCreate(config, name, options),
      ),
    );
  keys
    .command('list')
    .description('list the keys that are valid')
    .option('--all', 'also those that were revoked or have expired', false)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { all: boolean }) =>
        (await import('../commands/keys.ts')).runKeysList(config, options),
      ),
    );
  keys
    .command('rotate')
    .description('create another token for a key; the previous one stays valid for a while')
    .argument('<name>', 'as `keys list` shows it')
    .addOption(
      new Option('--grace <duration>', 'how long the previous token stays valid')
        .argParser(parsers.duration)
        .default(parsers.duration('1d'), '1d'),
    )
    .option(
      '--expires <duration>',
      'the new token expires after: 90d; default: when the previous one would have',
      lifetime,
    )
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, name: string, options: Json & { grace: number; expires?: number }) =>
        (await import('../commands/keys.ts')).runKeysRotate(config, name, options),
      ),
    );
  keys
    .command('revoke')
    .description('revoke a key: every API refuses it within seconds')
    .argument('<key>', 'a name, for all of its tokens, or the id of one')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, key: string, options: Json) =>
        (await import('../commands/keys.ts')).runKeysRevoke(config, key, options),
      ),
    );
}

function keyName(text: string): string {
  if (!/^[\w.@ -]{1,100}$/.test(text) || text.trim() !== text)
    throw new InvalidArgumentError('must be 1 to 100 letters, digits, spaces or . _ @ -');
  return text;
}

const usualScopes: Scope[] = ['submit', 'read'];

/** May be given several times. */
function scopeList(text: string, before: Scope[]): Scope[] {
  const given = [...(before === usualScopes ? [] : before), ...text.split(',').map((part) => part.trim())];
  const known = scopes.filter((scope) => given.includes(scope));
  if (known.length !== given.length)
    throw new InvalidArgumentError(`must be one or more of ${scopes.join(', ')}, each once, separated by commas`);
  return known;
}

/** Milliseconds. */
function lifetime(text: string): number {
  const ms = parsers.duration(text);
  if (ms < 1_000) throw new InvalidArgumentError('must be at least a second');
  return ms;
}

function boundTo(text: string): string {
  if (text === '' || text === '*' || text.length > 256 || text.slice(0, -1).includes('*'))
    throw new InvalidArgumentError('must be the id of a user, or the beginning of ids followed by *');
  return text;
}
