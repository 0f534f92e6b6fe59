import { type Command, InvalidArgumentError, Option } from 'commander';
import { httpUrl } from '../runtime/http/url.ts';
import { parsers } from './option-parsers.ts';

/** `load` puts virtual users on an API. It needs no configuration, only an address. */
export function addLoad(program: Command): void {
  program
    .command('load')
    .description('put virtual users on an API: they submit conversations and look at their status')
    .option('--url <url>', 'the API', httpUrl(process.env['HOST'] ?? '', Number(process.env['PORT'] || 3000)))
    .addOption(
      new Option(
        '--profile <name>',
        'ramp: 100 users; stress: 1,000; spike: 500 at once; steady: 50; soak: 50, an hour',
      )
        .choices(['ramp', 'stress', 'spike', 'steady', 'soak'])
        .default('ramp'),
    )
    .option('--users <n>', 'virtual users', parsers.count)
    .option('--spawn-rate <n>', 'users that begin per second', parsers.count)
    .option('--run-time <duration>', 'how long', parsers.duration)
    .option('--think <range>', 'pause of a user after an answer, such as 1s..5s or 0s..0s', range)
    .option('--rate <n>', 'open loop: this many requests per second, whatever the answers do', parsers.count)
    .option('--mix <shares>', 'how often each operation is chosen', mix, { submit: 3, status: 1 })
    .option('--body <file>', 'real request bodies, one or one per line; default: the samples of this project')
    .option(
      '--fail-if <limit>',
      "exit code 1 above it, such as 'p99>100ms' or 'errors>0.1%'; may be repeated",
      limits,
      [],
    )
    .option('--i-own-this-host', 'allows an address that is not this machine', false)
    .option('--json', 'print the report as JSON', false)
    .option('--html <file>', 'also write a page with charts over time')
    .action(async (options) => {
      const { runLoad } = await import('../commands/load.ts');
      process.exitCode = await runLoad(options);
    });
}

function range(text: string): readonly [number, number] {
  const [least, most, ...rest] = text.split('..').map((part) => parsers.duration(part));
  if (least === undefined || rest.length > 0 || (most ?? least) < least)
    throw new InvalidArgumentError('must be a duration or a range of two, such as 1s..5s');
  return [least, most ?? least];
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
