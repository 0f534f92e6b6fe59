import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createCalendar, differences, rebuild } from '../settle/index.ts';
import { operatorName } from '../start/operator-name.ts';
import { openToolStore } from '../start/tool.ts';
import { rebuildUser, type Store, usersAfter } from '../store/index.ts';
import { counted, plain, printJson, printLine, printTable } from '../terminal/print.ts';

/** A user with a hundred thousand events takes a few seconds. */
const deadlineMs = 120_000;
const pageSize = 500;
/** Differences that are shown. */
const mostShown = 1_000;

type Difference = ReturnType<typeof differences>[number] & { readonly user_id: string };

/**
 * Counts friendships once more from the events, and shows what differs.
 * @param user  undefined: everybody. @returns exit code: 1 if something differs and was not written.
 */
export async function runRebuild(
  config: Config,
  user: string | undefined,
  options: { readonly apply: boolean; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const calendarDay = createCalendar(config.scoringTimezone);
  const found: Difference[] = [];
  let [users, wrong] = [0, 0];

  async function one(userId: string): Promise<void> {
    users++;
    await rebuildUser(
      store,
      userId,
      (record) => {
        const rebuilt = rebuild(record, calendarDay);
        const differ = differences(record, rebuilt);
        if (differ.length === 0) return null;
        wrong++;
        for (const difference of differ) if (found.length < mostShown) found.push({ user_id: userId, ...difference });
        return options.apply ? { ...rebuilt, why: counted(differ.length, 'field') } : null;
      },
      { actor: operatorName(), deadlineMs },
    );
  }

  if (user !== undefined) await one(user);
  else for await (const id of everybody(store)) await one(id);

  if (options.json) printJson({ users, wrong, applied: options.apply, differences: found });
  else {
    if (found.length > 0)
      printTable(
        [{ head: 'USER', min: 10 }, { head: 'WHAT', min: 16 }, { head: 'IS' }, { head: 'SHOULD BE' }],
        found.map((d) => [plain(d.user_id), d.what, shown(d.is), shown(d.shouldBe)]),
      );
    const verb = options.apply ? 'were' : 'would be';
    printLine(`${counted(users, 'user')} counted again; ${counted(wrong, 'user')} ${verb} put right`);
    if (wrong > 0 && !options.apply) printLine('add --apply to write it');
  }
  return wrong === 0 || options.apply ? exitCodes.ok : exitCodes.failed;
}

/** With and without a friendship. */
async function* everybody(store: Store): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await usersAfter(store, after, pageSize, deadlineMs);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) return;
    after = last;
  }
}

function shown(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value ?? 'none');
}
