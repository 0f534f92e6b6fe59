import { type Command, Option } from 'commander';
import { httpUrl } from '../runtime/http/url.ts';
import { parsers } from './option-parsers.ts';
import type { Json } from './run.ts';

type Target = Json & { url: string; lang?: string };

/** Commands for pronunciations and phonemes. */
export function addPronunciation(program: Command): void {
  const pronunciation = program
    .command('pronunciation')
    .description('compare how two texts are pronounced, or look up the sentences of a course beforehand');
  const url = () =>
    new Option('--url <url>', 'the API').default(
      httpUrl(process.env['HOST'] ?? '', Number(process.env['PORT'] || 3000)),
    );

  pronunciation
    .command('compare')
    .description('show how alike two texts are pronounced, phoneme by phoneme')
    .argument('<reference>', 'what should be said')
    .argument('<attempt>', 'what was said')
    .addOption(url())
    .option('--lang <tag>', 'their language; default: PRONUNCIATION_LANG of the API')
    .option('--json', 'print JSON', false)
    .action(async (reference: string, attempt: string, options: Target) => {
      const { runCompare } = await import('../commands/pronunciation.ts');
      process.exitCode = await runCompare(reference, attempt, options);
    });
  pronunciation
    .command('prewarm')
    .description(
      'have an API look up the phonemes of sentences, one per line; exit code 1 if some have none. ' +
        'With REDIS_URL, every process then has them',
    )
    .argument('<file>', 'text file, or - for stdin')
    .addOption(url())
    .option('--lang <tag>', 'their language; default: PRONUNCIATION_LANG of the API')
    .option('--json', 'print JSON', false)
    .action(async (file: string, options: Target) => {
      process.exitCode = await (await import('../commands/pronunciation.ts')).runPrewarm(file, options);
    });

  program
    .command('phonemes')
    .description('serve phonemes from espeak-ng, by the contract of PHONEME_URL')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0: a free one', parsers.port, 8080)
    .action(async (options: { host: string; port: number }) => {
      process.exitCode = await (await import('../commands/phonemes.ts')).runPhonemes(options);
    });
}
