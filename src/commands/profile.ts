import { randomUUID } from 'node:crypto';
import { access, constants, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Config } from '../config.ts';
import { isAlive, isCalled, type SeenMember, targetOf } from '../members/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createStop } from '../runtime/shutdown.ts';
import { StartError, UsageError } from '../runtime/start-error.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore, quiet } from '../start/tool.ts';
import { askForProfile, dropProfile, listMembers, readProfile } from '../store/index.ts';
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
  const path = options.out ?? `${member.name}-${member.pid}${options.thread ? '-thread' : ''}.cpuprofile`;
  await requireWritable(path);
  const request = { memberId, requestId: randomUUID() };
  const asked = { ...request, of, seconds, target: targetOf(member), actor: operatorName() } as const;
  if (!(await askForProfile(store, asked, statementDeadlineMs)))
    throw new StartError(`a profile of ${member.name} is being taken for somebody else`, { mayPass: true });
  process.stderr.write(`asked ${member.name} on ${member.host} for ${counted(seconds, 'second')}\n`);

  const { signal } = createStop(quiet);
  const until = performance.now() + seconds * 1_000 + graceMs;
  for (;;) {
    const result = await readProfile(store, request, statementDeadlineMs);
    if (result !== null && 'error' in result)
      throw new StartError(`${member.name}: ${result.error}`, { mayPass: true });
    if (result !== null) {
      await write(path, await promisify(gunzip)(result.content));
      await dropProfile(store, request, statementDeadlineMs);
      if (path === toStdout) return exitCodes.ok;
      if (options.json) printJson({ member_id: memberId, seconds, of, path });
      else printLine(`${path}: open it in Chrome (DevTools, Performance) or VS Code`);
      return exitCodes.ok;
    }
    if (performance.now() > until) {
      await dropProfile(store, request, statementDeadlineMs);
      throw new StartError(`${member.name} on ${member.host} did not answer: see \`afterword ps\`, and its log there`, {
        mayPass: true,
      });
    }
    await delay(lookMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) {
      await dropProfile(store, request, statementDeadlineMs);
      process.stderr.write('stopped waiting\n');
      return exitCodes.failed;
    }
  }
}

const toStdout = '-';

/** Before anyone is asked. @throws {UsageError} */
async function requireWritable(path: string): Promise<void> {
  if (path === toStdout) return;
  const there = await stat(path).catch(() => null);
  if (there?.isDirectory()) throw new UsageError(`--out ${path} is a folder`);
  await access(there === null ? dirname(resolve(path)) : path, constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be written (${cause.code}): name another with --out, or - for stdout`, {
      cause,
    });
  });
}

async function write(path: string, content: Buffer): Promise<void> {
  if (path !== toStdout) return writeFile(path, content);
  await new Promise<void>((written) => process.stdout.write(content, () => written()));
}

/**
 * @param wanted  a name, `name@host`, `host:pid` or a member's id.
 * @throws {UsageError} that names those that there are.
 */
function findMember(everyone: readonly SeenMember[], wanted: string): SeenMember {
  const alive = everyone.filter(isAlive);
  const found = alive.filter((member) => isCalled(member, wanted));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const names = (members: readonly SeenMember[]) =>
    members.map((m) => `${m.name} (${m.host}:${m.pid})`).join(', ') || 'none';
  throw new UsageError(
    only === undefined
      ? `no member is named ${wanted}; there are: ${names(alive)}`
      : `several members are named ${wanted}: say host:pid, one of ${names(found)}`,
  );
}
