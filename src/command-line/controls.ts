import type { Command } from 'commander';
import { mostSeconds } from '../diagnostics/ports.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** What operators tell members of the fleet. */
export function addControls(program: Command): void {
  const control = (kind: 'pause' | 'resume' | 'drain', description: string) => {
    const command = program.command(kind).description(description);
    const worker: [string, string] = ['--worker <id>', 'one of them: name, name@host, host:pid or member id'];
    if (kind === 'drain') command.requiredOption(...worker);
    else command.option(...worker);
    command
      .option('--json', 'print JSON', false)
      .action(
        run(async (config, options: Json & { worker?: string }) =>
          (await import('../commands/control.ts')).runControl(config, kind, options),
        ),
      );
  };
  control('pause', 'workers take nothing new until `resume`, also after a restart; what they hold is finished');
  control('resume', 'workers take deliveries again');
  control('drain', 'a worker finishes what it holds and ends; when it comes back it is paused until `resume`');
  program
    .command('concurrency')
    .description('change how many deliveries workers take at once, without a restart')
    .argument('<n>', 'deliveries per worker, or `default` for what is configured', parsers.concurrency)
    .option('--worker <id>', 'one of them: name, name@host, host:pid or member id')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, n: number | 'default', options: Json & { worker?: string }) =>
        (await import('../commands/control.ts')).runControl(config, 'concurrency', {
          ...options,
          value: n === 'default' ? null : n,
        }),
      ),
    );
  program
    .command('profile')
    .description('take a CPU profile of any member, on any host')
    .argument('<member>', 'name, name@host, host:pid or member id, as `ps` shows them')
    .option('--seconds <n>', `how long, at most ${mostSeconds}`, parsers.profileSeconds, 10)
    .option('--thread', 'profile a scoring thread, where the scorer runs, instead of the main thread', false)
    .option('--out <file>', 'where to write it, - for stdout; default: NAME-PID.cpuprofile here')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, member: string, options: Json & { seconds: number; thread: boolean; out?: string }) =>
        (await import('../commands/profile.ts')).runProfile(config, member, options),
      ),
    );
  program
    .command('actions')
    .description('what operators did: who, what, when; newest first')
    .option('--limit <n>', 'at most', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { limit: number }) =>
        (await import('../commands/control.ts')).runActions(config, options),
      ),
    );
}
