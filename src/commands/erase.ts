import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { UsageError } from '../runtime/start-error.ts';
import { openErasure } from '../start/erasure.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import { openToolRedis } from '../start/tool-redis.ts';
import { counted, printJson, printLine } from '../terminal/print.ts';

export async function runErase(
  config: Config,
  userId: string,
  options: { readonly yes: boolean; readonly json: boolean },
): Promise<number> {
  if (!options.yes)
    throw new UsageError('this removes conversations, scores and sessions of the user for good: add --yes');
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const { redisUrl } = config;
  const redis = redisUrl === null ? null : stack.adopt(await openToolRedis({ ...config, redisUrl }), (r) => r.close());
  const erase = openErasure(config, store, redis === null ? null : (user, known) => redis.eraseSessions(user, known));
  const { conversations, sessions, deadLetters } = await erase(userId, operatorName());
  if (options.json) printJson({ conversations, sessions, dead_letters: deadLetters });
  else
    printLine(
      `nothing is left of this user; removed: ${counted(conversations, 'conversation')}, ` +
        `${counted(sessions, 'session')}, ${counted(deadLetters, 'dead letter')}`,
    );
  return exitCodes.ok;
}
