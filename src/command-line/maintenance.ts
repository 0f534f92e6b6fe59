import { Argument, type Command } from 'commander';
import type { RescoreOptions } from '../commands/rescore.ts';
import { type JobName, jobNames } from '../maintenance/index.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** Scheduled maintenance, and what operators do with whole users. */
export function addMaintenance(program: Command): void {
  const jobs = program.command('jobs').description('show and run scheduled maintenance');
  jobs
    .command('list', { isDefault: true })
    .description('list the jobs, when each is next due, and their last runs')
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
    .addArgument(new Argument('<name>', 'job name').choices(jobNames))
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
  addRescore(program);
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

function addRescore(program: Command): void {
  const rescore = program
    .command('rescore')
    .description('score processed conversations once more, with another scorer')
    .addHelpText('after', '\n`start` is the default subcommand: see `afterword rescore start --help`');
  rescore
    .command('start', { isDefault: true })
    .description('score processed conversations and show how the results differ; nothing is changed without --apply')
    .option('--scorer <module>', 'start a run with this scorer: as in SCORER_MODULE, or `friendship` (built in)')
    .option('--since <time>', 'only those accepted since then, a time or 30d', parsers.moment)
    .option('--limit <n>', 'at most this many, the newest', parsers.count)
    .option('--run <n>', 'go on with a run: score what is left of it, or apply it', parsers.count)
    .option('--apply', 'replace the results, and count the friendships once more', false)
    .option('--dry-run', 'replace nothing (the default)', false)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: RescoreOptions) =>
        (await import('../commands/rescore.ts')).runRescore(config, options),
      ),
    );
  rescore
    .command('list')
    .description('list rescore runs, newest first')
    .option('--limit <n>', 'list at most this many', parsers.count, 20)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { limit: number }) =>
        (await import('../commands/rescore.ts')).runRescores(config, options),
      ),
    );
  rescore
    .command('undo')
    .description('give conversations back the results that a run replaced')
    .argument('<run>', 'run number', parsers.count)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: number, options: Json) =>
        (await import('../commands/rescore.ts')).runUndo(config, id, options),
      ),
    );
}
