import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Analyse, Analyser } from '../analysis/index.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../runtime/log.ts';
import { StartError } from '../runtime/start-error.ts';

export type Analysers = Analyse & {
  readonly all: readonly Analyser[];
  close(): Promise<void>;
};

/** Null: none are configured. @throws {StartError} if one cannot be loaded. */
export async function openAnalysers(config: Config, log: Logger): Promise<Analysers | null> {
  if (config.analysers.length === 0) return null;
  const { createAnalyse } = await import('../analysis/index.ts');
  const all = await Promise.all(config.analysers.map((name) => open(name, config, log)));
  for (const { name, sendsTo } of all) {
    if (sendsTo === undefined) log.info({ analyser: name }, 'analyser loaded');
    else log.warn({ analyser: name, sendsTo }, 'the text of every conversation is sent there (ANALYSER_MODULE)');
  }
  const analyse = createAnalyse(all, {
    timeoutMs: config.analyserTimeoutMs,
    whenAway: config.analyserWhenAway,
    log,
  });
  return { ...analyse, all, close: async () => void (await Promise.all(all.map((one) => one.close?.()))) };
}

async function open(name: string, config: Config, log: Logger): Promise<Analyser> {
  const { memoryService, openAi } = await import('../analysis/index.ts');
  const shared = { connections: config.analyserConnections, deadlineMs: config.analyserTimeoutMs, log };
  try {
    switch (name) {
      case 'openai':
        return openAi({
          ...shared,
          url: config.analyserUrl ?? '',
          key: config.analyserKey,
          model: config.analyserModel ?? '',
          promptFile: config.analyserPromptFile,
          batch: config.analyserBatch,
          batchWaitMs: config.analyserBatchWaitMs,
          tokensPerMinute: shareOf(config.analyserTokensPerMinute, config),
          tokensPerDay: shareOf(config.analyserTokensPerDay, config),
        });
      case 'memories':
        return memoryService({ ...shared, url: config.memoryUrl ?? '' });
      default:
        return await load(name);
    }
  } catch (error) {
    throw new StartError(`ANALYSER_MODULE ${name} cannot be loaded: ${(error as Error).message}`, { cause: error });
  }
}

/** Workers do not know of each other's spending. */
function shareOf(tokens: number, { mostWorkers }: Config): number {
  return tokens === 0 ? 0 : Math.max(1, Math.floor(tokens / mostWorkers));
}

async function load(module: string): Promise<Analyser> {
  const { default: analyser } = (await import(pathToFileURL(resolve(module)).href)) as { default?: Partial<Analyser> };
  if (
    typeof analyser?.analyse !== 'function' ||
    typeof analyser.name !== 'string' ||
    typeof analyser.version !== 'string'
  )
    throw new TypeError('it must have a default export { name, version, analyse(conversation, { signal }) }');
  return analyser as Analyser;
}
