import { type Command, InvalidArgumentError, Option } from 'commander';
import { type NoticeType, noticeTypes } from '../event/notice.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** Who is told of conversations that are closed. */
export function addWebhooks(program: Command): void {
  const webhooks = program.command('webhooks').description('who is told of conversations that are closed');
  webhooks
    .command('create')
    .description('register an endpoint and print its secret, once')
    .argument('<url>', 'https://…')
    .option('--types <types>', `of what, separated by commas: ${noticeTypes.join(', ')}`, typeList, [...noticeTypes])
    .option('--user <id>', 'only of this user, or of all whose id begins so: acme-*')
    .option('--description <text>', 'for people')
    .option('--json', 'print JSON', false)
    .action(
      runWith(
        async (config, url: string, options: Json & { types: NoticeType[]; user?: string; description?: string }) =>
          (await import('../commands/webhooks.ts')).runWebhooksCreate(config, url, options),
      ),
    );
  webhooks
    .command('list')
    .description('list the endpoints')
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json) => (await import('../commands/webhooks.ts')).runWebhooksList(config, options)),
    );
  for (const [state, description] of [
    ['enable', 'send to an endpoint again, also what has waited'],
    ['disable', 'send nothing to an endpoint until it is enabled'],
    ['delete', 'forget an endpoint'],
    ['rotate', 'give an endpoint another secret and print it; the one before signs, too, for a day'],
    ['test', 'send a test message now, and say how it was answered'],
  ] as const)
    webhooks
      .command(state)
      .description(description)
      .argument('<id>', 'as `webhooks list` shows it')
      .option('--json', 'print JSON', false)
      .action(
        runWith(async (config, id: string, options: Json) =>
          (await import('../commands/webhooks.ts')).runWebhooksAct(config, state, id, options),
        ),
      );
  webhooks
    .command('deliveries')
    .description('list deliveries with their last attempt, newest first')
    .argument('<id>', 'as `webhooks list` shows it')
    .addOption(new Option('--state <state>', 'only these').choices(['PENDING', 'DELIVERED', 'FAILED']))
    .option('--limit <n>', 'list at most this many', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      runWith(
        async (config, id: string, options: Json & { state?: 'PENDING' | 'DELIVERED' | 'FAILED'; limit: number }) =>
          (await import('../commands/webhooks.ts')).runWebhooksDeliveries(config, id, options),
      ),
    );
  webhooks
    .command('replay')
    .description('make deliveries again')
    .argument('<id>', 'as `webhooks list` shows it')
    .argument('[delivery...]', 'their ids')
    .option('--failed', 'all that failed', false)
    .option('--since <when>', 'all of a time: 2h, 1d, or a time with zone', parsers.moment)
    .option('--until <when>', 'and its end', parsers.moment)
    .option('--json', 'print JSON', false)
    .action(async (id: string, deliveries: string[], options: Json & { failed: boolean; since?: Date; until?: Date }) =>
      runWith(async (config, endpoint: string, given: typeof options) =>
        (await import('../commands/webhooks.ts')).runWebhooksReplay(config, endpoint, deliveries.map(idOf), given),
      )(id, options),
    );
}

function typeList(text: string): NoticeType[] {
  const given = text.split(',').map((part) => part.trim());
  const known = noticeTypes.filter((type) => given.includes(type));
  if (known.length !== given.length)
    throw new InvalidArgumentError(`must be one or more of ${noticeTypes.join(', ')}, each once, separated by commas`);
  return known;
}

function idOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError(`${text} is not the id of a delivery`);
  return Number(text);
}
