import { type Command, Option } from 'commander';
import { httpUrl } from '../runtime/http/url.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run } from './run.ts';

type Target = Json & { url: string };

/** Commands for live sessions. */
export function addSessions(program: Command): void {
  const sessions = program.command('sessions').description('list and show live sessions, sync them, or test an API');
  const url = () =>
    new Option('--url <url>', 'the API').default(
      httpUrl(process.env['HOST'] ?? '', Number(process.env['PORT'] || 3000)),
    );

  sessions
    .command('try')
    .description('talk to a running API, and check every answer; exit code 1 if one is not what was promised')
    .addOption(url())
    .option('--session <id>', 'the session; default: a new one')
    .option('--user <id>', 'user id of the test sessions', 'user_try')
    .option('--messages <n>', 'how many messages', parsers.count, 10)
    .option('--delay <seconds>', 'between two messages', parsers.seconds, 0)
    .option('--parallel <n>', 'sessions at the same time', parsers.count, 1)
    .option('--sync', 'then have them written to the database, and check that nothing is pending', false)
    .option('--stats <id>', 'only show the figures of this session')
    .option('--json', 'print JSON', false)
    .action(async (options) => {
      process.exitCode = await (await import('../commands/sessions.ts')).runSessionsTry(options);
    });
  sessions
    .command('list')
    .description('list sessions as the database knows them, the most active first')
    .option('--user <id>', 'only sessions of this user')
    .addOption(new Option('--state <state>', 'only these').choices(['open', 'ending', 'ended']))
    .option('--limit <n>', 'list at most this many', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { user?: string; state?: string; limit: number }) =>
        (await import('../commands/sessions.ts')).runSessionsList(config, options),
      ),
    );
  sessions
    .command('show')
    .description('show one session with its last messages')
    .argument('<id>', 'session id')
    .addOption(url())
    .option('--json', 'print JSON', false)
    .action(async (id: string, options: Target) => {
      process.exitCode = await (await import('../commands/sessions.ts')).runSessionsShow(id, options);
    });
  sessions
    .command('sync')
    .description('write everything that is pending in any session to the database now')
    .argument('[id]', 'a session to check afterwards: exit code 1 if it still has messages pending')
    .addOption(url())
    .option('--json', 'print JSON', false)
    .action(async (id: string | undefined, options: Target) => {
      process.exitCode = await (await import('../commands/sessions.ts')).runSessionsSync(id, options);
    });
}
