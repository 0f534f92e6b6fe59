import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Gauge } from '../../runtime/gauge.ts';
import { NoPhonemes, type PhonemeSource } from '../ports.ts';
import { isWrittenIn } from './script.ts';

const program = 'espeak-ng';
const timeoutMs = 5_000;
const maxWaiting = 1_000;
/** `(en)` and `(vi)` in the output: from here on, with the sounds of another language. */
const switches = /\([a-z][a-z-]*\)/g;

/** espeak-ng on this machine, a process a text: a few milliseconds. Its `mode` means nothing. */
export function espeak(): PhonemeSource & { readonly gauge: Gauge } {
  const limit = pLimit(availableParallelism());
  let voices: Promise<ReadonlySet<string>> | null = null;

  async function voiceOf(lang: string): Promise<string> {
    voices ??= run(['--voices']).then(
      (list) =>
        new Set(
          list
            .split('\n')
            .slice(1)
            .flatMap((line) => line.trim().split(/\s+/)[1] ?? []),
        ),
    );
    const known = await voices.catch((error: unknown) => {
      voices = null; // it may be installed meanwhile
      throw error;
    });
    const wanted = lang.toLowerCase();
    const voice = [wanted, wanted.split('-')[0] ?? ''].find((one) => known.has(one));
    if (voice === undefined) throw new NoPhonemes('refused', 'language', `${program} does not speak ${lang}`);
    return voice;
  }

  return {
    name: program,
    id: program,
    gauge: { name: 'phoneme_calls', bound: maxWaiting, held: () => limit.activeCount + limit.pendingCount },
    async lookUp({ text, lang }) {
      if (!isWrittenIn(lang, text))
        throw new NoPhonemes('refused', 'script', `the text is not in the script of ${lang}`);
      const voice = await voiceOf(lang);
      if (limit.pendingCount >= maxWaiting)
        throw new NoPhonemes('unavailable', 'busy', `${limit.pendingCount} texts wait for ${program}`);
      const output = await limit(() => run(['-q', '--ipa', '--tie', '-v', voice, '--stdin'], text));
      return output.replace(switches, '').split(/\s+/).filter(Boolean).join(' ');
    },
    close: async () => {},
  };
}

/** The text goes to the standard input: as an argument it could be an option, and everybody could see it. */
function run(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], { timeout: timeoutMs, maxBuffer: 4_194_304 }, (error, stdout) => {
      if (error === null) return resolve(stdout);
      const isMissing = error.code === 'ENOENT';
      const message = isMissing
        ? `${program} is not installed: install Debian's package ${program}, or set PHONEME_URL`
        : `${program} failed`;
      // What the program says may quote the text.
      reject(new NoPhonemes('unavailable', isMissing ? 'missing' : 'failed', message));
    });
    child.stdin?.on('error', () => {}); // told by the callback
    child.stdin?.end(input);
  });
}
