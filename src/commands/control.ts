import type { Config } from '../config.ts';
import { type ControlKind, isAlive, isExactly, type SeenMember, targetOf } from '../members/index.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { UsageError } from '../runtime/start-error.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import { act, everyWorker, listActions, listControls, listMembers } from '../store/index.ts';
import { counted, plain, printJson, printLine, printTable } from '../terminal/print.ts';

/** `pause`, `resume`, `concurrency` and `drain`: of all workers, or of one. Picked up within five seconds. */
export async function runControl(
  config: Config,
  kind: ControlKind,
  options: { readonly worker?: string; readonly value?: number | null; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const workers = (await listMembers(store, statementDeadlineMs)).filter(({ role }) => role === 'worker');
  const controls = await listControls(store, statementDeadlineMs);
  const target =
    options.worker === undefined
      ? everyWorker
      : findTarget(
          workers,
          controls.map((control) => control.target),
          options.worker,
        );
  const value = options.value ?? null;
  await act(store, { kind, target, value, actor: operatorName() }, statementDeadlineMs);
  const told = workers.filter((worker) => isAlive(worker) && (target === everyWorker || targetOf(worker) === target));
  if (options.json) printJson({ action: kind, target, value, workers: told.map(({ memberId }) => memberId) });
  else {
    const whose = target === everyWorker ? 'all workers' : plain(target);
    printLine(`${done[kind](value)}: ${whose} (${counted(told.length, 'worker')} at work now, within five seconds)`);
  }
  const isAllPaused = controls.some((control) => control.target === everyWorker && control.isPaused);
  if (kind !== 'resume' || target === everyWorker || !isAllPaused) return exitCodes.ok;
  process.stderr.write('afterword: it stays paused, because all workers are: `afterword resume` without --worker\n');
  return exitCodes.failed;
}

const done: Readonly<Record<ControlKind, (value: number | null) => string>> = {
  pause: () => 'paused until `afterword resume`',
  resume: () => 'resumed',
  concurrency: (value) => (value === null ? 'concurrency as configured' : `concurrency ${value}`),
  drain: () => 'draining, then paused until `afterword resume`',
};

/**
 * @param workers  of the last day. @param controlled  targets that have a control, whether their worker lives or not.
 * @param wanted  a name, `name@host`, `host:pid` or a member's id.
 * @throws {UsageError}
 */
function findTarget(workers: readonly SeenMember[], controlled: readonly string[], wanted: string): string {
  const atWork = workers.filter(isAlive);
  const exact = atWork.find((worker) => isExactly(worker, wanted));
  if (exact !== undefined) {
    const sharing = atWork.filter((worker) => targetOf(worker) === targetOf(exact));
    if (sharing.length === 1) return targetOf(exact);
    throw new UsageError(
      `${sharing.length} workers are named ${targetOf(exact)}, and controls reach them together: ` +
        `say --worker ${targetOf(exact)}`,
    );
  }
  const known = [...new Set([...workers.map((worker) => targetOf(worker)), ...controlled])];
  if (known.includes(wanted) && wanted !== everyWorker) return wanted;
  const [only, ...others] = [
    ...new Set(atWork.filter(({ name }) => name === wanted).map((worker) => targetOf(worker))),
  ];
  if (only !== undefined && others.length === 0) return only;
  throw new UsageError(
    only !== undefined
      ? `several workers are named ${wanted}: say which of ${[only, ...others].join(', ')}`
      : `no worker is named ${wanted}; there are: ${known.filter((name) => name !== everyWorker).join(', ') || 'none'}`,
  );
}

/** Kinds of actions whose value is a number. */
const countedKinds: ReadonlySet<string> = new Set(['concurrency', 'profile', 'retry-failed', 'republish', 'purge']);

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
        value: value !== null && countedKinds.has(kind) ? Number(value) : value,
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
