import { type Command, CommanderError, Option } from 'commander';
import { type Config, loadConfig } from '../config.ts';
import type { EventStatus } from '../event/event.ts';
import { exitCodes } from './exit-codes.ts';
import { parsers } from './option-parsers.ts';

type Json = { readonly json: boolean };

/** The commands of a person on duty. Each loads its module when it runs: `afterword api` need not know of them. */
export function addTools(program: Command): void {
  program
    .command('audit')
    .description('hold the live system against its promises; exit code 1 if one is broken')
    .option('--since <when>', 'only users with an event accepted since: 2h, 1d, or a time with zone', parsers.moment)
    .addOption(durationOption('--overdue <duration>', 'due for longer than this counts as forgotten', '5m'))
    .option('--letters', 'a FAILED event without its dead letter is a violation, too', false)
    .option('--json', 'print the report as JSON', false)
    .action(run(async (config, options) => (await import('./audit.ts')).runAudit(config, options)));

  program
    .command('doctor')
    .description('look at configuration, database, broker and this machine, and say what to do')
    .option('--json', 'print the findings as JSON', false)
    .action(run(async (config, options) => (await import('./doctor.ts')).runDoctor(config, options)));

  program
    .command('size')
    .description(
      'measure this machine with your scorer, and say how many workers, deliveries and threads it should have (a minute or two; longer with a scorer that waits)',
    )
    .option('--rate <n>', 'events a second that are wanted', parsers.count)
    .option('--p99 <ms>', 'longest time from accept to processed for 99 of 100, milliseconds', parsers.count)
    .option('--machines <n>', 'machines like this one; default: as many as the rate needs', parsers.count)
    .option('--body <file>', 'real request bodies, one or one a line; default: the samples of this project')
    .option('--seconds <n>', 'how long each run is measured', parsers.count, 4)
    .option('--explain', 'also print the model and the rules of thumb', false)
    .option('--json', 'print everything as JSON', false)
    .option('--html <file>', 'also write a page with charts')
    .action(
      run(
        async (
          config,
          options: Json & {
            explain: boolean;
            rate?: number;
            p99?: number;
            machines?: number;
            body?: string;
            seconds: number;
            html?: string;
          },
        ) =>
          (await import('./size.ts')).runSize(config, {
            rate: options.rate ?? null,
            p99Ms: options.p99 ?? null,
            machines: options.machines ?? null,
            body: options.body ?? null,
            seconds: options.seconds,
            explain: options.explain,
            json: options.json,
            html: options.html ?? null,
          }),
      ),
    );

  addEvents(program.command('events').description('look at events and act on them, as the API does'));
  addDead(program.command('dead').description('look at dead letters and replay them'));
}

function addEvents(events: Command): void {
  events
    .command('list')
    .description('newest first')
    .option('--status <status>', 'PENDING, PROCESSING, PROCESSED, FAILED or SKIPPED', parsers.status)
    .option('--user <id>', 'of one user')
    .option('--error <code>', 'that failed with this error code, or with --status PENDING, are tried again after it')
    .option('--since <when>', 'accepted since: 2h, 1d, or a time with zone', parsers.moment)
    .option('--before <id>', 'older than this event: the next page', parsers.eventId)
    .option('--limit <n>', 'at most', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      run(
        async (
          config,
          options: Json & {
            status?: EventStatus;
            user?: string;
            error?: string;
            since?: Date;
            before?: string;
            limit: number;
          },
        ) => (await import('./events.ts')).runEventsList(config, options),
      ),
    );
  events
    .command('show')
    .description('one event')
    .argument('<id>', 'event id or conversation id')
    .option('--log', 'with the conversation itself', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { log: boolean }) =>
        (await import('./events.ts')).runEventsShow(config, id, options),
      ),
    );
  events
    .command('retry')
    .description('FAILED events start over: one, or with --failed all of them')
    .argument('[id]', 'event id or conversation id')
    .option('--failed', 'all that FAILED', false)
    .option('--error <code>', 'with --failed: only with this error code')
    .option('--before <when>', 'with --failed: only if accepted before', parsers.moment)
    .option('--limit <n>', 'with --failed: at most', parsers.count, 1_000_000)
    .option('--json', 'print JSON', false)
    .action(
      runWith(
        async (
          config,
          id: string | undefined,
          options: Json & { failed: boolean; error?: string; before?: Date; limit: number },
        ) => {
          if ((id !== undefined) === options.failed) throw usage('name one event, or --failed for all of them');
          if (id !== undefined && (options.error ?? options.before) !== undefined)
            throw usage(
              '--error and --before choose among all FAILED events: leave them out, or use --failed without an id',
            );
          return (await import('./events.ts')).runEventsRetry(config, id, options);
        },
      ),
    );
  events
    .command('skip')
    .description('a PENDING event is never scored')
    .argument('<id>', 'event id or conversation id')
    .option('--reason <text>', 'kept with the event', parsers.reason, 'skipped by an operator')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { reason: string }) =>
        (await import('./events.ts')).runEventsSkip(config, id, options),
      ),
    );
  events
    .command('republish')
    .description('make open events due at once: when a broker lost its data, or waiting retries should not wait')
    .addOption(durationOption('--older-than <duration>', 'only if accepted longer ago', '10m'))
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { olderThan: number }) =>
        (await import('./events.ts')).runEventsRepublish(config, options),
      ),
    );
}

function addDead(dead: Command): void {
  dead
    .command('list')
    .description('oldest first, beside their events')
    .option('--limit <n>', 'at most', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { limit: number }) =>
        (await import('./dead.ts')).runDeadList(config, options),
      ),
    );
  dead
    .command('show')
    .description('one dead letter')
    .argument('<id>', 'event id, conversation id, or the id that list shows')
    .option('--body', 'with the message itself', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { body: boolean }) =>
        (await import('./dead.ts')).runDeadShow(config, id, options),
      ),
    );
  dead
    .command('replay')
    .description('failed events start over, and their letters leave the queue once that is certain')
    .argument('[id]', 'event id, conversation id, or the id that list shows')
    .option('--error <code>', 'all whose event failed with this error code')
    .option('--all', 'all of them', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string | undefined, options: Json & { error?: string; all: boolean }) => {
        const { error, all } = options;
        if (Number(id !== undefined) + Number(error !== undefined) + Number(all) !== 1)
          throw usage('say which: an ID, --error CODE or --all');
        const selection = id !== undefined ? { id } : error !== undefined ? { error } : 'all';
        return (await import('./dead.ts')).runDeadReplay(config, selection, options);
      }),
    );
  dead
    .command('purge')
    .description('drop all dead letters; their events stay FAILED')
    .option('--yes', 'really', false)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { yes: boolean }) =>
        (await import('./dead.ts')).runDeadPurge(config, options),
      ),
    );
}

/** A command without arguments: its result is the exit code. */
function run<O>(work: (config: Config, options: O) => Promise<number>): (options: O) => Promise<void> {
  return async (options) => {
    process.exitCode = await work(loadConfig(process.env), options);
  };
}

/** The same with one argument. */
function runWith<A, O>(
  work: (config: Config, argument: A, options: O) => Promise<number>,
): (argument: A, options: O) => Promise<void> {
  return async (argument, options) => {
    process.exitCode = await work(loadConfig(process.env), argument, options);
  };
}

function durationOption(flags: string, description: string, byDefault: string): Option {
  return new Option(flags, description).argParser(parsers.duration).default(parsers.duration(byDefault), byDefault);
}

function usage(message: string): CommanderError {
  process.stderr.write(`error: ${message}\n(add --help for the usage)\n`);
  return new CommanderError(exitCodes.usage, 'afterword.usage', message);
}
