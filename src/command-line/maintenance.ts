import { Argument, type Command } from 'commander';
import { type JobName, jobNames } from '../maintenance/index.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** What the fleet does by itself by the clock, and the erasure of a user. */
export function addMaintenance(program: Command): void {
  const jobs = program.command('jobs').description('maintenance that APIs run by the clock');
  jobs
    .command('list', { isDefault: true })
    .description('what it is, when it is due, and what the last runs did')
    .option('--limit <n>', 'list at most this many runs', parsers.count, 10)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { limit: number }) =>
        (await import('../commands/jobs.ts')).runJobs(config, options),
      ),
    );
  jobs
    .command('run')
    .description('run a job now, here')
    .addArgument(new Argument('<name>', 'which one').choices(jobNames))
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, name: JobName, options: Json) =>
        (await import('../commands/jobs.ts')).runJobNow(config, name, options),
      ),
    );
  program
    .command('rebuild')
    .description('count friendships once more from the events and show what differs; exit code 1 if something does')
    .argument('[user]', 'user id; default: everybody')
    .option('--apply', 'write what was counted', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, user: string | undefined, options: Json & { apply: boolean }) =>
        (await import('../commands/rebuild.ts')).runRebuild(config, user, options),
      ),
    );
  program
    .command('erase')
    .description('remove everything there is of a user, for good; exit code 1 if something could not be removed')
    .argument('<user>', 'user id')
    .option('--yes', 'confirm', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, user: string, options: Json & { yes: boolean }) =>
        (await import('../commands/erase.ts')).runErase(config, user, options),
      ),
    );
}
