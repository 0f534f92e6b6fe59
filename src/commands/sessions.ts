import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { UsageError } from '../runtime/start-error.ts';
import { baseOf } from '../send/api-client.ts';
import { connectSessions, type SessionsApi, type SessionView } from '../send/sessions-client.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { openToolStore } from '../start/tool.ts';
import { listSessions } from '../store/index.ts';
import { counted, plain, printFields, printJson, printLine, printTable } from '../terminal/print.ts';
import { type Tried, tryTalk } from './sessions-try.ts';

type Target = { readonly url: string; readonly json: boolean };

/** Lists live sessions as the database knows them; what is pending, only Redis knows. */
export async function runSessionsList(
  config: Config,
  options: { readonly user?: string; readonly state?: string; readonly limit: number; readonly json: boolean },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const store = stack.adopt(await openToolStore(config), (s) => s.close());
  const sessions = await listSessions(
    store,
    { userId: options.user ?? null, state: options.state ?? null },
    options.limit,
    statementDeadlineMs,
  );
  if (options.json) printJson(sessions);
  else if (sessions.length === 0) printLine('no sessions found');
  else
    printTable(
      [
        { head: 'SESSION', min: 12 },
        { head: 'USER', min: 10, rank: 2 },
        { head: 'STATE' },
        { head: 'MESSAGES SYNCED', rank: 4 },
        { head: 'QUESTIONS SYNCED', rank: 5 },
        { head: 'ACTIVE', rank: 3 },
        { head: 'EVENT', min: 10, rank: 1 },
      ],
      sessions.map((s) => [
        ...[s.session_id, s.user_id, s.state, s.message_count, s.question_count],
        ...[s.active_at, s.event_id ?? '-'],
      ]),
    );
  return exitCodes.ok;
}

/** Shows one session as callers see it, with its last messages. */
export async function runSessionsShow(id: string, { url, json }: Target): Promise<number> {
  await using api = await connectSessions(baseOf(url));
  const session = await findSession(api, id);
  if (json) printJson(session);
  else {
    const { history = [], ...fields } = session;
    printFields(fields);
    for (const m of history) printLine(`\n${m.position}  ${m.role}  ${m.timestamp}\n   ${plain(m.text)}`);
  }
  return exitCodes.ok;
}

/** Has what is pending in all sessions written now. @param id  checked afterwards. */
export async function runSessionsSync(id: string | undefined, { url, json }: Target): Promise<number> {
  await using api = await connectSessions(baseOf(url));
  if (id !== undefined) await findSession(api, id);
  const synced = await api.sync();
  const left = id === undefined ? null : (await findSession(api, id)).pending;
  if (json) printJson({ synced, ...(left !== null && { pending: left }) });
  else printLine(`${counted(synced, 'message')} written${left ? `; ${left} of ${plain(id ?? '')} still pending` : ''}`);
  return left ? exitCodes.failed : exitCodes.ok;
}

/** Talks, so that a person sees it work. @returns exit code: 1 if an answer was not what was promised. */
export async function runSessionsTry(options: {
  readonly url: string;
  readonly session?: string;
  readonly user: string;
  readonly messages: number;
  readonly delay: number;
  readonly parallel: number;
  readonly sync: boolean;
  readonly stats?: string;
  readonly json: boolean;
}): Promise<number> {
  await using api = await connectSessions(baseOf(options.url));
  if (options.stats !== undefined) {
    const stats = await api.stats(options.stats);
    if (stats === null) throw notFound(options.stats);
    if (options.json) printJson(stats);
    else printFields(stats);
    return exitCodes.ok;
  }
  const isLive = process.stderr.isTTY && !options.json;
  const width = process.stderr.columns ?? 80;
  const name = options.session ?? `try-${randomBytes(3).toString('hex')}`;
  const result = await tryTalk(api, {
    sessionIds: Array.from({ length: options.parallel }, (_, i) => (options.parallel > 1 ? `${name}-${i + 1}` : name)),
    userId: options.user,
    messages: options.messages,
    delayMs: options.delay * 1_000,
    sync: options.sync,
    onProgress: (line) => void (isLive && process.stderr.write(`\r\x1b[K${line.slice(0, width - 1)}`)),
  });
  if (isLive) process.stderr.write('\r\x1b[K');
  if (options.json) printJson(result);
  else printTried(result);
  return result.wrong.length === 0 ? exitCodes.ok : exitCodes.failed;
}

function printTried(result: Tried): void {
  const { sessions, ms } = result;
  printTable(
    [
      { head: 'SESSION', min: 12 },
      { head: 'MESSAGES' },
      { head: 'QUESTIONS' },
      { head: 'PENDING' },
      { head: 'SYNCED' },
    ],
    sessions.map((s) => [s.session_id, s.messages, s.question_count, s.pending, s.synced]),
  );
  const times = ms === null ? '' : `: p50 ${ms.p50} ms, p99 ${ms.p99} ms`;
  printLine(`\n${counted(result.answered, 'message')} answered${times}`);
  if (result.synced !== null)
    printLine(`${counted(result.synced, 'message')} written to the database, of all sessions`);
  for (const wrong of result.wrong) printLine(`WRONG  ${plain(wrong)}`);
  printLine(
    result.wrong.length === 0
      ? 'every message was counted once, in order, and a repeat changed nothing'
      : counted(result.wrong.length, 'broken promise'),
  );
}

async function findSession(api: SessionsApi, id: string): Promise<SessionView> {
  const session = await api.session(id);
  if (session === null) throw notFound(id);
  return session;
}

function notFound(id: string): UsageError {
  return new UsageError(`there is no session ${plain(id)}: \`afterword sessions list\` lists them`);
}
