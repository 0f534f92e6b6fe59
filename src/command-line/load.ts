import { type Command, InvalidArgumentError, Option } from 'commander';
import { httpUrl } from '../runtime/http/url.ts';
import { parsers } from './option-parsers.ts';

/** `load` puts virtual users on an API. It needs no configuration, only an address. */
export function addLoad(program: Command): void {
  program
    .command('load')
    .description(
      'put virtual users on an API: they submit conversations, which are stored like any other, and read their status',
    )
    .option('--url <url>', 'the API', httpUrl(process.env['HOST'] ?? '', Number(process.env['PORT'] || 3000)))
    .addOption(
      new Option(
        '--profile <name>',
        'ramp: 100 users; stress: 1,000; spike: 500 at once; steady: 50; soak: 50, an hour',
      )
        .choices(['ramp', 'stress', 'spike', 'steady', 'soak'])
        .default('ramp'),
    )
    .option('--users <n>', "virtual users; default: the profile's", parsers.count)
    .option('--spawn-rate <n>', "users started per second; default: the profile's", parsers.count)
    .option('--run-time <duration>', "how long, from 1s to 24d; default: the profile's", runTime)
    .option(
      '--think <range>',
      "pause of a user after an answer, such as 1s..5s or 0s..0s; default: the profile's",
      range,
    )
    .option('--rate <n>', 'open loop: this many requests per second, however slow the answers', parsers.count)
    .addOption(
      new Option('--mix <shares>', 'how often each operation is chosen')
        .argParser(mix)
        .default({ submit: 3, status: 1 }, 'submit=3,status=1'),
    )
    .option('--body <file>', 'real request bodies, one or one per line; default: the samples of this project')
    .addOption(
      new Option(
        '--fail-if <threshold>',
        "exit with 1 if exceeded, such as 'p99>100ms' or 'errors>0.1%'; may be repeated",
      )
        .argParser(limits)
        .default([], 'none'),
    )
    .option('--i-own-this-host', 'allows an address that is not this machine', false)
    .option('--json', 'print the report as JSON', false)
    .option('--html <file>', 'also write a page with charts over time')
    .action(async (options) => {
      const { runLoad } = await import('../commands/load.ts');
      process.exitCode = await runLoad(options);
    });
}

/** Timers count in 31 bits of milliseconds. */
const longestMs = 24 * 86_400_000;

function runTime(text: string): number {
  const ms = parsers.duration(text);
  if (ms < 1_000 || ms > longestMs) throw new InvalidArgumentError('must be a duration from 1s to 24d');
  return ms;
}

function range(text: string): readonly [number, number] {
  const [least, most, ...rest] = text.split('..').map(durationOrNull);
  const upper = most === undefined ? least : most;
  if (least == null || upper == null || rest.length > 0 || upper < least || upper > longestMs)
    throw new InvalidArgumentError('must be a duration or a range of two, such as 1s..5s');
  return [least, upper];
}

function durationOrNull(text: string): number | null {
  try {
    return parsers.duration(text);
  } catch {
    return null;
  }
}

function mix(text: string): { submit: number; status: number } {
  const shares = { submit: 0, status: 0 };
  for (const part of text.split(',')) {
    const found = /^(submit|status)=(\d+)$/.exec(part.trim());
    if (found === null) throw new InvalidArgumentError('must be shares such as submit=3,status=1');
    shares[found[1] as 'submit'] = Number(found[2]);
  }
  if (shares.submit === 0) throw new InvalidArgumentError('must submit something: nothing else could be looked at');
  return shares;
}

function limits(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}
