#!/usr/bin/env node
import { Command, CommanderError, Help, type Option } from 'commander';
import dotenv from 'dotenv';
import { addKeys } from './command-line/keys.ts';
import { addLoad } from './command-line/load.ts';
import { parsers } from './command-line/option-parsers.ts';
import { addPronunciation } from './command-line/pronunciation.ts';
import { run } from './command-line/run.ts';
import { addSessions } from './command-line/sessions.ts';
import { addTools } from './command-line/tools.ts';
import { addWebhooks } from './command-line/webhooks.ts';
import { type Config, loadConfig } from './config.ts';
import { exitCodes } from './runtime/exit-codes.ts';
import { httpUrl } from './runtime/http/url.ts';
import { endOnOutputErrors, outliveOutput } from './terminal/output-errors.ts';
import { version } from './version.ts';

// Before anything reads the environment: even the default address of `send` depends on PORT.
dotenv.config({ quiet: true });
endOnOutputErrors();

const program = new Command('afterword')
  .description(
    'Scores finished conversations behind a 202 Accepted API. ' +
      'Configuration comes from the environment and .env (see .env.example).',
  )
  .version(version)
  .showHelpAfterError('(add --help for the usage)')
  .configureHelp({ optionDescription: describeOption })
  .exitOverride();

role('api', 'accept conversations over HTTP, publish and relay them', async (config) =>
  (await import('./commands/api.ts')).runApi(config),
);
role('worker', 'score conversations from the queue and settle the results', async (config) =>
  (await import('./commands/worker.ts')).runWorker(config),
);
role(
  'fleet',
  'run API_REPLICAS apis and WORKER_REPLICAS workers on this machine, restarting any that die',
  async (config) => (await import('./commands/fleet.ts')).runFleet(config),
);
role('migrate', 'bring the database schema up to date', async (config) =>
  (await import('./commands/migrate.ts')).runMigrate(config),
);

program
  .command('restart')
  .description(
    'have the fleet on this machine restart its members one after the other (as SIGHUP does to one without a terminal)',
  )
  .action(run(async (config) => (await import('./commands/restart.ts')).runRestart(config)));

program
  .command('send')
  .description('post a file of conversations, one JSON body per line, and report the outcome')
  .argument('<file>', 'NDJSON file, or - for stdin')
  .option('--url <url>', 'the API', httpUrl(process.env['HOST'] ?? '', Number(process.env['PORT'] || 3000)))
  .option('--concurrency <n>', 'concurrent requests', parsers.count, 100)
  .option('--batch', 'send many in one request each, which takes less time', false)
  .option('--wait', 'wait until every accepted conversation is closed', false)
  .option('--timeout <seconds>', 'longest time to wait', parsers.count, 300)
  .option('--json', 'print the summary as JSON', false)
  .action(async (file: string, options) => {
    const { runSend } = await import('./commands/send.ts');
    process.exitCode = await runSend(file, options);
  });

addLoad(program);
addSessions(program);
addPronunciation(program);
addTools(program);
addKeys(program);
addWebhooks(program);

try {
  if (process.env['CA_FILE']) (await import('./start/trust.ts')).trustAuthorities(process.env['CA_FILE']);
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}
// A socket to a silent peer may linger for minutes. The work is done, so the process ends without it.
setTimeout(() => process.exit(), 1_000).unref();

/** Does not print the default of a switch: it is off unless given. */
function describeOption(this: Help, option: Option): string {
  return option.defaultValue === false ? option.description : Help.prototype.optionDescription.call(this, option);
}

/** A command that needs the whole configuration and runs until its work is done or it is told to stop. */
function role(name: string, description: string, run: (config: Config) => Promise<void>): void {
  program
    .command(name)
    .description(description)
    .option('--check', 'load everything, check the configuration and exit')
    .action(async (options: { check?: boolean }) => {
      const config = loadConfig(process.env);
      if (!options.check) {
        outliveOutput();
        return run(config);
      }
      await import(`./commands/${name}.ts`);
      process.stdout.write(`${name}: the configuration is valid\n`);
    });
}

/** Prints a message that a person can use. @returns an exit code that says whether starting again could help. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  const { exitCode, message, stack } = error as Partial<Error & { exitCode: number }>;
  if (exitCode !== exitCodes.ok)
    process.stderr.write(`afterword: ${exitCode === undefined ? (stack ?? String(error)) : message}\n`);
  return exitCode ?? exitCodes.failed;
}
