import { hostname, userInfo } from 'node:os';
import type { Config } from '../config.ts';
import { type ActionKind, lostAfterMs, type SeenMember, targetOf } from '../members/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { UsageError } from '../runtime/start-error.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { openToolStore } from '../start/tool.ts';
import { act, everyWorker, listActions, listMembers } from '../store/index.ts';
import { counted, plain, printJson, printLine, printTable } from '../terminal/print.ts';

/** `pause`, `resume`, `concurrency` and `drain`: of all workers, or of one. Picked up with the next heartbeat. */
export async function runControl(
  config: Config,
  kind: ActionKind,
  options: { readonly worker?: string; readonly value?: number | null; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const workers = (await listMembers(store, statementDeadlineMs)).filter(
    ({ role, state, silentMs }) => role === 'worker' && state !== 'stopped' && silentMs <= lostAfterMs,
  );
  const target = options.worker === undefined ? everyWorker : findTarget(workers, options.worker);
  const value = options.value ?? null;
  await act(store, { kind, target, value, actor: `${userInfo().username}@${hostname()}` }, statementDeadlineMs);
  const told = workers.filter((worker) => target === everyWorker || targetOf(worker) === target);
  if (options.json) printJson({ action: kind, target, value, workers: told.map(({ memberId }) => memberId) });
  else {
    const whose = target === everyWorker ? 'all workers' : plain(target);
    printLine(`${done[kind](value)}: ${whose} (${counted(told.length, 'worker')} at work now, within five seconds)`);
  }
  return exitCodes.ok;
}

const done: Readonly<Record<ActionKind, (value: number | null) => string>> = {
  pause: () => 'paused until `afterword resume`',
  resume: () => 'resumed',
  concurrency: (value) => (value === null ? 'concurrency as configured' : `concurrency ${value}`),
  drain: () => 'draining, then paused until `afterword resume`',
};

/** @param wanted  a name, `name@host`, `host:pid` or a member's id. @throws {UsageError} */
function findTarget(workers: readonly SeenMember[], wanted: string): string {
  const targets = new Set(
    workers
      .filter((w) => [w.name, targetOf(w), `${w.host}:${w.pid}`, w.memberId].includes(wanted))
      .map((worker) => targetOf(worker)),
  );
  const [only] = targets;
  if (only !== undefined && targets.size === 1) return only;
  const known = [...new Set(workers.map((worker) => targetOf(worker)))].join(', ') || 'none';
  throw new UsageError(
    targets.size > 1
      ? `several workers are named ${wanted}: say which of ${[...targets].join(', ')}`
      : `no worker at work is named ${wanted}; there are: ${known}`,
  );
}

/** What operators did, newest first. */
export async function runActions(
  config: Config,
  options: { readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const actions = await listActions(store, options.limit, statementDeadlineMs);
  if (options.json)
    printJson({
      actions: actions.map(({ actedAt, actor, kind, target, value }) => ({
        acted_at: actedAt,
        actor,
        action: kind,
        target,
        value,
      })),
    });
  else if (actions.length === 0) printLine('no actions');
  else
    printTable(
      [{ head: 'WHEN' }, { head: 'WHO', min: 8 }, { head: 'ACTION' }, { head: 'TARGET', min: 8 }, { head: 'VALUE' }],
      actions.map(({ actedAt, actor, kind, target, value }) => [actedAt, actor, kind, target, value]),
    );
  return exitCodes.ok;
}
