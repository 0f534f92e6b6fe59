import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { type SeenMember, targetOf } from '../members/index.ts';
import { lostAfterMs } from '../members/ports.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { toMib } from '../runtime/mib.ts';
import { createStop } from '../runtime/shutdown.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { openToolStore, quiet } from '../start/tool.ts';
import { listMembers, type Store } from '../store/index.ts';
import { counted, printJson, printLine, printTable } from '../terminal/print.ts';

/** Members that have ended are shown for a while, so that a restart can be seen. */
const shownAfterStopMs = 60_000;
const watchMs = 2_000;

/** Shows the members of the fleet. @returns exit code: 1 if one is lost. */
export async function runPs(
  config: Config,
  options: { readonly json: boolean; readonly watch: boolean; readonly all: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  if (!options.watch) return await show(store, options); // before the store closes
  const { signal } = createStop(quiet);
  let code: number = exitCodes.ok;
  while (!signal.aborted) {
    if (process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J');
    code = await show(store, options);
    await delay(watchMs, undefined, { signal }).catch(() => {});
  }
  return code;
}

async function show(store: Store, { json, all }: { readonly json: boolean; readonly all: boolean }): Promise<number> {
  const everyone = await listMembers(store, statementDeadlineMs);
  const members = everyone.filter((member) => all || isShown(member, everyone));
  const lost = members.filter((member) => stateOf(member) === 'lost' && !isReplaced(member, everyone));
  if (json) printJson({ members: members.map(view) });
  else if (members.length === 0) printLine('no member has been seen within a day');
  else {
    printTable(columns, members.map(cells));
    if (lost.length > 0)
      printLine(
        `\n${counted(lost.length, 'member')} lost: ${lost.map(({ name, host }) => `${name} on ${host}`).join(', ')}. ` +
          'The broker gives their deliveries to others.',
      );
  }
  return lost.length === 0 ? exitCodes.ok : exitCodes.failed;
}

/** Members that have ended are shown for a minute; lost ones until another has their name. */
function isShown(member: SeenMember, everyone: readonly SeenMember[]): boolean {
  const state = stateOf(member);
  if (state === 'stopped') return member.silentMs < shownAfterStopMs;
  return state !== 'lost' || !isReplaced(member, everyone);
}

/** Its supervisor has started another. */
function isReplaced(member: SeenMember, everyone: readonly SeenMember[]): boolean {
  return everyone.some(
    (other) => targetOf(other) === targetOf(member) && other.startedAt > member.startedAt && stateOf(other) !== 'lost',
  );
}

/** What a member says of itself, unless it says nothing any more. */
function stateOf({ state, silentMs }: SeenMember): SeenMember['state'] | 'lost' {
  return state !== 'stopped' && silentMs > lostAfterMs ? 'lost' : state;
}

const columns = [
  { head: 'MEMBER' },
  { head: 'HOST', min: 10, rank: 6 },
  { head: 'PID', rank: 3 },
  { head: 'STATE' },
  { head: 'SEEN', rank: 8 },
  { head: 'IN FLIGHT', rank: 9 },
  { head: 'THREADS', rank: 5 },
  { head: 'PROCESSING', rank: 4 },
  { head: 'PROCESSED', rank: 7 },
  { head: 'CPU %', rank: 5 },
  { head: 'MIB', rank: 5 },
  { head: 'STARTED', rank: 2 },
  { head: 'VERSION', rank: 1 },
] as const;

function cells(m: SeenMember) {
  const share = (part: number | null, whole: number | null) => (part === null ? null : `${part}/${whole ?? '?'}`);
  return [
    m.name,
    m.host,
    m.pid,
    stateOf(m),
    `${Math.max(0, Math.round(m.silentMs / 1_000))} s ago`,
    share(m.inFlight, m.concurrency),
    share(m.busyThreads, m.threads),
    m.processing || null,
    m.processed,
    m.cpuPercent,
    toMib(m.rssBytes),
    m.startedAt,
    m.version,
  ];
}

function view(m: SeenMember) {
  return {
    member_id: m.memberId,
    name: m.name,
    role: m.role,
    host: m.host,
    pid: m.pid,
    state: stateOf(m),
    version: m.version,
    scorer: m.scorer,
    started_at: m.startedAt,
    seen_at: m.seenAt,
    silent_ms: Math.round(m.silentMs),
    concurrency: m.concurrency,
    in_flight: m.inFlight,
    threads: m.threads,
    busy_threads: m.busyThreads,
    processing: m.processing,
    processed: m.processed,
    cpu_percent: m.cpuPercent,
    rss_bytes: m.rssBytes,
  };
}
