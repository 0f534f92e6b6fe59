import * as z from 'zod';
import { type Analysis, type Conversation, type ConversationText, withField } from '../event/conversation.ts';
import type { Logger } from '../runtime/log.ts';
import { RemoteError } from '../runtime/remote/remote.ts';
import { msSince, telemetry } from '../runtime/telemetry.ts';
import { type Analyser, NoAnalysis } from './ports.ts';

export type Analyse = {
  /** @throws {NoAnalysis} if an analyser is away, and the attempt should be made again. */
  text(text: ConversationText): Promise<ConversationText>;
  /** For a dry run. */
  conversation(conversation: Conversation): Promise<Conversation>;
};

const complainEveryMs = 10_000;
const count = z.int().min(0).max(100_000).optional();
/** Also of plug-ins. An emotion that is none of ours counts as neutral, as in requests. */
const analysis = z.object({ emotion: z.string().optional(), userQuestions: count, newMemories: count });

/**
 * Has analysers read a conversation before it is scored, all at the same time; where two say the same, the later one
 * counts.
 *
 * @param options.whenAway  `local`: the scorer then reads the conversation alone, and the details say so.
 */
export function createAnalyse(
  analysers: readonly Analyser[],
  options: { readonly timeoutMs: number; readonly whenAway: 'local' | 'retry'; readonly log: Logger },
): Analyse {
  const { timeoutMs, whenAway, log } = options;
  /** When something was last said, by analyser and kind. */
  const complainedAt = new Map<string, number>();

  async function ask(analyser: Analyser, conversation: Conversation): Promise<Analysis | 'away' | 'refused'> {
    const began = performance.now();
    const tell = (code: string) => telemetry.analyserCalled.tell({ analyser: analyser.name, code, ms: msSince(began) });
    try {
      const found = await (analyser.boundsItself
        ? analyser.analyse(conversation, { signal: never })
        : within(timeoutMs, (signal) => analyser.analyse(conversation, { signal })));
      const checked = analysis.safeParse(found);
      if (!checked.success) throw new RemoteError('garbage', 'it answered something else than an analysis');
      tell('');
      return said(checked.data);
    } catch (error) {
      const code = error instanceof RemoteError ? error.reason : 'failed';
      tell(code);
      const isRefusal = code === 'refused' || (error as { permanent?: unknown } | null)?.permanent === true;
      const topic = `${analyser.name} ${isRefusal}`;
      if (performance.now() >= (complainedAt.get(topic) ?? Number.NEGATIVE_INFINITY) + complainEveryMs) {
        complainedAt.set(topic, performance.now());
        const what = isRefusal ? 'an analyser does not take a conversation' : 'an analyser cannot be used';
        log.warn({ analyser: analyser.name, reason: code, status: statusOf(error), whenAway }, what);
      }
      return isRefusal ? 'refused' : 'away';
    }
  }

  async function analyse(
    conversation: Conversation,
    asked: readonly Analyser[],
  ): Promise<Analysis & { readonly by: string }> {
    const found = await Promise.all(asked.map((analyser) => ask(analyser, conversation)));
    const away = asked.filter((_, i) => found[i] === 'away').map(({ name }) => name);
    if (away.length > 0 && whenAway === 'retry') throw new NoAnalysis(`not analysed: ${away.join(', ')}`);
    const read = asked.filter((_, i) => typeof found[i] === 'object');
    const all: Analysis = Object.assign({}, ...found.filter((one) => typeof one === 'object'));
    const names = read.map(({ name, version }) => `${name}@${version}`);
    return { ...all, by: [...names, ...(read.length < asked.length ? ['local (fallback)'] : [])].join(', ') };
  }

  return {
    async text(text) {
      const conversation = JSON.parse(Buffer.concat(text).toString()) as Conversation;
      return withField(text, 'analysis', await analyse(conversation, analysers));
    },
    async conversation(conversation) {
      const asked = analysers.filter(({ remembers }) => !remembers);
      return asked.length === 0 ? conversation : { ...conversation, analysis: await analyse(conversation, asked) };
    },
  };
}

const never = new AbortController().signal;

/** Without what is undefined: it must not take the place of what another has said. */
function said(found: z.output<typeof analysis>): Analysis {
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Analysis;
}

function statusOf(error: unknown): number | undefined {
  return error instanceof RemoteError ? (error.status ?? undefined) : undefined;
}

/** Also against plug-ins that do not heed their signal. */
async function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = Promise.withResolvers<never>();
  const timeout = setTimeout(() => {
    timer.abort();
    late.reject(new RemoteError('timeout', `no analysis within ${ms} ms`));
  }, ms);
  try {
    const asked = Promise.resolve().then(() => work(timer.signal));
    asked.catch(() => {}); // it may fail when nobody waits any more
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timeout);
  }
}
