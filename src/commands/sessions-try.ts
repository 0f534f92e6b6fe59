import { setTimeout as delay } from 'node:timers/promises';
import type { SessionsApi, SessionView } from '../send/sessions-client.ts';

export type Tried = {
  readonly sessions: readonly SessionView[];
  readonly answered: number;
  readonly ms: { readonly p50: number; readonly p99: number } | null;
  /** Null: nobody asked for a sync. */
  readonly synced: number | null;
  /** Answers that were not what was promised. */
  readonly wrong: readonly string[];
};

/** Talks in several sessions at once, and checks every answer. @throws {StartError} if the API refuses. */
export async function tryTalk(
  api: SessionsApi,
  options: {
    readonly sessionIds: readonly string[];
    readonly userId: string;
    readonly messages: number;
    readonly delayMs: number;
    readonly sync: boolean;
    readonly onProgress: (line: string) => void;
  },
): Promise<Tried> {
  const times: number[] = [];
  const wrong: string[] = [];
  const expect = (what: string, got: unknown, wanted: unknown) => {
    if (got !== wanted) wrong.push(`${what} is ${String(got)}, not ${String(wanted)}`);
  };

  async function talk(sessionId: string): Promise<void> {
    const before = await api.create(sessionId, options.userId);
    let { messages: position, question_count: questions } = before;
    for (let i = 0; i < options.messages; i++) {
      const role = i % 2 === 0 ? ('user' as const) : ('bot' as const);
      const message = { message_id: `${Date.now()}-${i}-${sessionId}`.slice(0, 120), role, text: `Message ${i + 1}` };
      const began = performance.now();
      const answer = await api.say(sessionId, message);
      times.push(performance.now() - began);
      position++;
      if (answer.reply != null) position++;
      if (role === 'user') questions++;
      expect(
        `${sessionId}: the position of message ${i + 1}`,
        answer.position,
        position - (answer.reply == null ? 0 : 1),
      );
      expect(`${sessionId}: the question count after message ${i + 1}`, answer.question_count, questions);
      if (i === 0) {
        const again = await api.say(sessionId, message);
        expect(`${sessionId}: the position of a repeated message`, again.position, answer.position);
        expect(`${sessionId}: the question count of a repeated message`, again.question_count, answer.question_count);
      }
      options.onProgress(
        `${times.length} of ${options.sessionIds.length * options.messages} messages · ` +
          `question_count ${answer.question_count} · last answer ${times.at(-1)?.toFixed(1)} ms`,
      );
      if (options.delayMs > 0) await delay(options.delayMs);
    }
  }

  await Promise.all(options.sessionIds.map(talk));
  const synced = options.sync ? await api.sync() : null;
  const sessions: SessionView[] = [];
  for (const sessionId of options.sessionIds) {
    const view = await api.session(sessionId);
    if (view === null) {
      wrong.push(`${sessionId} is gone`);
      continue;
    }
    sessions.push(view);
    expect(`${sessionId}: pending and synced together`, view.pending + view.synced, view.messages);
    if (options.sync) expect(`${sessionId}: pending after a sync`, view.pending, 0);
    const listed = await api.messages(sessionId);
    expect(`${sessionId}: the number of listed messages`, listed.length, view.messages);
    const isSorted = listed.every((m, i) => i === 0 || m.position > (listed[i - 1]?.position ?? 0));
    expect(`${sessionId}: the order of its messages`, isSorted ? 'rising' : 'mixed', 'rising');
  }
  return { sessions, answered: times.length, ms: percentiles(times), synced, wrong };
}

function percentiles(times: readonly number[]): Tried['ms'] {
  if (times.length === 0) return null;
  const sorted = times.toSorted((a, b) => a - b);
  const at = (p: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? 0) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99) };
}
