import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Config } from '../config.ts';
import { lostAfterMs, type SeenMember, targetOf } from '../members/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore, quiet } from '../start/tool.ts';
import { askForProfile, listMembers, takeProfile } from '../store/index.ts';
import { counted, printJson, printLine } from '../terminal/print.ts';

const lookMs = 500;
/** A heartbeat until it is seen, and the time to store it, generously. */
const graceMs = 30_000;

/** Takes a CPU profile of any member, through the database. */
export async function runProfile(
  config: Config,
  wanted: string,
  options: {
    readonly seconds: number;
    readonly thread: boolean;
    readonly out?: string;
    readonly json: boolean;
  },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const member = findMember(await listMembers(store, statementDeadlineMs), wanted);
  const { memberId } = member;
  const { seconds } = options;
  const of = options.thread ? 'thread' : 'process';
  if (options.thread && member.role !== 'worker')
    throw new UsageError(`${member.name} has no scoring threads: leave out --thread`);
  const asked = { memberId, of, seconds, target: targetOf(member), actor: operatorName() } as const;
  if (!(await askForProfile(store, asked, statementDeadlineMs)))
    throw new StartError(`a profile of ${member.name} is being taken already`, { mayPass: true });
  process.stderr.write(`asked ${member.name} on ${member.host} for ${counted(seconds, 'second')}\n`);

  const { signal } = createStop(quiet);
  const until = performance.now() + seconds * 1_000 + graceMs;
  for (;;) {
    if (signal.aborted) return exitCodes.failed;
    const result = await takeProfile(store, memberId, statementDeadlineMs);
    if (result !== null && 'error' in result)
      throw new StartError(`${member.name}: ${result.error}`, { mayPass: true });
    if (result !== null) {
      const path = options.out ?? `${member.name}-${member.pid}${options.thread ? '-thread' : ''}.cpuprofile`;
      await writeFile(path, await promisify(gunzip)(result.content)).catch((cause: NodeJS.ErrnoException) => {
        throw new UsageError(`--out ${path} cannot be written (${cause.code})`, { cause });
      });
      if (options.json) printJson({ member_id: memberId, seconds, of, path });
      else printLine(`${path}: open it in Chrome (DevTools, Performance) or VS Code`);
      return exitCodes.ok;
    }
    if (performance.now() > until)
      throw new StartError(
        `${member.name} on ${member.host} did not answer: look at \`afterword ps\`, and at its log on that machine` +
          (member.host === hostname() ? '' : ' (not this one)'),
        { mayPass: true },
      );
    await delay(lookMs, undefined, { signal }).catch(() => {});
  }
}

/**
 * @param wanted  a name, `name@host`, `host:pid` or a member's id.
 * @throws {UsageError} that names those that there are.
 */
function findMember(everyone: readonly SeenMember[], wanted: string): SeenMember {
  const alive = everyone.filter(({ state, silentMs }) => state !== 'stopped' && silentMs <= lostAfterMs);
  const found = alive.filter((m) => [m.memberId, `${m.host}:${m.pid}`, targetOf(m), m.name].includes(wanted));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const names = (members: readonly SeenMember[]) =>
    members.map((m) => `${m.name} (${m.host}:${m.pid})`).join(', ') || 'none';
  throw new UsageError(
    only === undefined
      ? `no member is called ${wanted}; there are: ${names(alive)}`
      : `several members are called ${wanted}: say host:pid, one of ${names(found)}`,
  );
}
