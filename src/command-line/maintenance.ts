import { Argument, type Command } from 'commander';
import type { RescoreOptions } from '../commands/rescore.ts';
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
    .addHelpText('after', '\n`afterword rescore --scorer MODULE` is `start`: see `afterword rescore start --help`');
  rescore
    .command('start', { isDefault: true })
    .description('score them and show how the results differ; nothing is changed without --apply')
    .option('--scorer <module>', 'as in SCORER_MODULE, or `friendship`: begins a run')
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
    .description('runs, the newest first')
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
    .argument('<run>', 'its number', parsers.count)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: number, options: Json) =>
        (await import('../commands/rescore.ts')).runUndo(config, id, options),
      ),
    );
}
