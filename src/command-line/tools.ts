import { type Command, CommanderError, Option } from 'commander';
import type { EventStatus } from '../event/event.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { addControls } from './controls.ts';
import { addMaintenance } from './maintenance.ts';
import { parsers } from './option-parsers.ts';
import { type Json, run, runWith } from './run.ts';

/** The commands of an operator. Each loads its module when it runs, so that `afterword api` does not load them. */
export function addTools(program: Command): void {
  program
    .command('audit')
    .description('check a live system against its promises; exit code 1 if one is broken')
    .option('--since <when>', 'only users with an event accepted since: 2h, 1d, or a time with zone', parsers.moment)
    .addOption(durationOption('--overdue <duration>', 'an event that is due for longer counts as forgotten', '5m'))
    .option('--letters', 'also count a FAILED event without its dead letter as a violation', false)
    .option('--json', 'print the report as JSON', false)
    .action(run(async (config, options) => (await import('../commands/audit.ts')).runAudit(config, options)));

  program
    .command('ps')
    .description('show the members of the fleet, on all hosts; exit code 1 if one is lost')
    .option('--watch', 'show them again every two seconds', false)
    .option('--all', 'also those that stopped within a day', false)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { watch: boolean; all: boolean }) =>
        (await import('../commands/ps.ts')).runPs(config, options),
      ),
    );

  addControls(program);
  addMaintenance(program);

  program
    .command('doctor')
    .description('check configuration, database, broker, Redis and this machine, and advise what to do')
    .option('--json', 'print the findings as JSON', false)
    .action(run(async (config, options) => (await import('../commands/doctor.ts')).runDoctor(config, options)));

  program
    .command('size')
    .description(
      'measure this machine with your scorer and recommend numbers of workers, deliveries and threads ' +
        '(takes a minute or two; longer with a scorer that waits)',
    )
    .option('--rate <n>', 'wanted events per second', parsers.count)
    .option('--p99 <ms>', 'wanted 99th percentile of the time from accept to processed, milliseconds', parsers.count)
    .option('--machines <n>', 'machines like this one; default: as many as the rate needs', parsers.count)
    .option('--body <file>', 'real request bodies, one, or one per line; default: the samples of this project')
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
          (await import('../commands/size.ts')).runSize(config, {
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

  addEvents(program.command('events').description('show events and act on them, like the API'));
  addDead(program.command('dead').description('show dead letters and replay them'));
}

function addEvents(events: Command): void {
  events
    .command('list')
    .description('list events, newest first')
    .option('--status <status>', 'PENDING, PROCESSING, PROCESSED, FAILED or SKIPPED', parsers.status)
    .option('--user <id>', 'only events of this user')
    .option('--error <code>', 'FAILED events with this error code; with --status PENDING, those retried after it')
    .option('--since <when>', 'only events accepted since: 2h, 1d, or a time with zone', parsers.moment)
    .option('--before <id>', 'only events older than this one: the next page', parsers.eventId)
    .option('--limit <n>', 'list at most this many', parsers.count, 50)
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
        ) => (await import('../commands/events.ts')).runEventsList(config, options),
      ),
    );
  events
    .command('show')
    .description('show one event')
    .argument('<id>', 'event id or conversation id')
    .option('--log', 'also show the conversation and its metadata', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { log: boolean }) =>
        (await import('../commands/events.ts')).runEventsShow(config, id, options),
      ),
    );
  events
    .command('retry')
    .description('start FAILED events over: one, or with --failed all of them')
    .argument('[id]', 'event id or conversation id')
    .option('--failed', 'retry all FAILED events', false)
    .option('--error <code>', 'with --failed: only those with this error code')
    .option('--before <when>', 'with --failed: only those accepted before', parsers.moment)
    .option('--limit <n>', 'with --failed: retry at most this many', parsers.count, 1_000_000)
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
              '--error and --before select among all FAILED events: omit them, or use --failed without an id',
            );
          return (await import('../commands/events.ts')).runEventsRetry(config, id, options);
        },
      ),
    );
  events
    .command('skip')
    .description('skip a PENDING event, so that it is never scored')
    .argument('<id>', 'event id or conversation id')
    .option('--reason <text>', 'stored with the event', parsers.reason, 'skipped by an operator')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { reason: string }) =>
        (await import('../commands/events.ts')).runEventsSkip(config, id, options),
      ),
    );
  events
    .command('run-now')
    .description('have an open event scored at once, whatever it waits for: a schedule, or a retry')
    .argument('<id>', 'event id or conversation id')
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json) =>
        (await import('../commands/events.ts')).runEventsRunNow(config, id, options),
      ),
    );
  events
    .command('republish')
    .description('make open events due at once: after a broker lost its data, or to run waiting retries now')
    .addOption(durationOption('--older-than <duration>', 'only events accepted longer ago', '10m'))
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { olderThan: number }) =>
        (await import('../commands/events.ts')).runEventsRepublish(config, options),
      ),
    );
}

function addDead(dead: Command): void {
  dead
    .command('list')
    .description('list dead letters with their events, oldest first')
    .option('--limit <n>', 'read at most this many letters', parsers.count, 50)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { limit: number }) =>
        (await import('../commands/dead.ts')).runDeadList(config, options),
      ),
    );
  dead
    .command('show')
    .description('show one dead letter')
    .argument('<id>', 'event id, conversation id, or the id that list shows')
    .option('--body', 'also show the message body', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string, options: Json & { body: boolean }) =>
        (await import('../commands/dead.ts')).runDeadShow(config, id, options),
      ),
    );
  dead
    .command('replay')
    .description('start failed events over; each letter leaves the queue once its replay is certain')
    .argument('[id]', 'event id, conversation id, or the id that list shows')
    .option('--error <code>', 'replay all whose event failed with this error code')
    .option('--all', 'replay all of them', false)
    .option('--json', 'print JSON', false)
    .action(
      runWith(async (config, id: string | undefined, options: Json & { error?: string; all: boolean }) => {
        const { error, all } = options;
        if (Number(id !== undefined) + Number(error !== undefined) + Number(all) !== 1)
          throw usage('name one of: an ID, --error CODE or --all');
        const selection = id !== undefined ? { id } : error !== undefined ? { error } : 'all';
        return (await import('../commands/dead.ts')).runDeadReplay(config, selection, options);
      }),
    );
  dead
    .command('purge')
    .description('drop all dead letters; their events stay FAILED')
    .option('--yes', 'confirm', false)
    .option('--json', 'print JSON', false)
    .action(
      run(async (config, options: Json & { yes: boolean }) =>
        (await import('../commands/dead.ts')).runDeadPurge(config, options),
      ),
    );
}

function durationOption(flags: string, description: string, byDefault: string): Option {
  return new Option(flags, description).argParser(parsers.duration).default(parsers.duration(byDefault), byDefault);
}

function usage(message: string): CommanderError {
  process.stderr.write(`error: ${message}\n(add --help for the usage)\n`);
  return new CommanderError(exitCodes.usage, 'afterword.usage', message);
}
