import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { createOwnQueue, type OwnQueue } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { size } from '../operate/index.ts';
import { countStatus, createScratchDatabase, processedTimes, type ScratchDatabase } from '../store/index.ts';
import { statementDeadlineMs, topologyOf } from './parts.ts';
import type { NextBody } from './size-bodies.ts';
import { StartError, StoppedError } from './start-error.ts';
import { brokerAway, openToolStore } from './tools.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const pollMs = 200;
/** Until code is compiled and connections are warm. */
const warmMs = 1_500;
const clients = 100;
/** Without any progress for this long (and a scoring's deadline), something is wrong that more waiting does not mend. */
const stuckAfterMs = 30_000;
/** Access denied to a database, to a table, or to a right. */
const denied = new Set([1044, 1142, 1227]);

export type DrainTrial = size.Trial & { /** The backlog ended before the measurement did. */ readonly dry: boolean };

/**
 * A database and a queue of its own on the user's servers, with a real API and real workers: the whole pipeline, on nobody's data.
 * Everything that waits here ends with the stop signal, with a member that dies, with an event that fails, and when nothing moves.
 */
export class TrialGround implements AsyncDisposable {
  /** Of the last long fill, events a second. */
  acceptRate = Number.NaN;
  readonly name: string;
  readonly #config: Config;
  readonly #database: ScratchDatabase;
  readonly #queue: OwnQueue;
  readonly #nextBody: NextBody;
  readonly #stop: AbortSignal;
  readonly #stack = new AsyncDisposableStack();
  readonly #agent = new Agent({ connections: clients });
  readonly #members = new Set<ChildProcess>();
  #apiUrl = '';
  #accepted = 0;

  private constructor(name: string, config: Config, database: ScratchDatabase, queue: OwnQueue, nextBody: NextBody, stop: AbortSignal) {
    this.name = name;
    this.#config = config;
    this.#database = database;
    this.#queue = queue;
    this.#nextBody = nextBody;
    this.#stop = stop;
  }

  /** @throws {StartError} that says which server refuses what. */
  static async open(given: Config, nextBody: NextBody, stop: AbortSignal): Promise<TrialGround> {
    await (await openToolStore(given, { anySchema: true })).close(); // says what is wrong with the server, if something is
    const name = `afterword_size_${randomBytes(4).toString('hex')}`;
    await using undo = new AsyncDisposableStack();
    const database = await createScratchDatabase(given.databaseUrl, name).catch((cause: unknown) => {
      if (!denied.has(Number((cause as { errno?: unknown }).errno))) throw cause;
      throw new StartError(
        'the measurement needs a database of its own beside yours, and the user of DATABASE_URL may not create one:\n' +
          'GRANT ALL ON `afterword\\_size\\_%`.* to that user, or name another one in DATABASE_URL',
        { cause },
      );
    });
    undo.defer(() => database.drop());
    const config: Config = { ...given, databaseUrl: database.url, queueName: `${name}_processing`, queueMaxLength: 5_000_000 };
    const queue = await createOwnQueue(config.rabbitmqUrl, topologyOf(config), 'afterword size').catch((error: unknown) => {
      throw brokerAway(config, error);
    });
    undo.defer(() => queue.remove());
    const ground = new TrialGround(name, config, database, queue, nextBody, stop);
    undo.adopt(ground, (g) => g.#stopMembers([...g.#members]));
    const api = await ground.#start('api', {});
    ground.#apiUrl = String((api.message as { url?: string }).url);
    ground.#stack.use(undo.move());
    return ground;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.close();
    await this.#stack.disposeAsync();
  }

  /** Starts from nothing: `events` are accepted and wait in the queue. */
  async fill(events: number): Promise<void> {
    await this.#queue.purge();
    await this.#database.empty();
    this.#accepted = 0;
    const began = performance.now();
    let left = events;
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (left-- > 0) await this.#post();
      }),
    );
    if (events >= 1_000) this.acceptRate = events / ((performance.now() - began) / 1_000);
    // Published, all of it: what the broker does not have yet would be drained at the pace it comes.
    await this.#until(
      async () => (await this.#queue.depth()) >= events,
      () => this.#queue.depth(),
    );
  }

  /** Median milliseconds of one 202, alone: its commit, and little else. */
  async commitMs(): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < 41; i++) {
      const began = performance.now();
      await this.#post();
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[20] ?? Number.NaN;
  }

  /** Drains what `fill` left for `seconds` (longer if events are slow) and says how fast. */
  async drain(setting: size.Setting, seconds: number): Promise<DrainTrial> {
    const { workers, concurrency, threads } = setting;
    const running = await this.#startWorkers(setting);
    try {
      await this.#until(
        async () => (await this.#open()) < this.#accepted,
        () => this.#open(),
      );
      await this.#pause(warmMs);
      const [cpuFrom, began, from] = [cpuTimes(), performance.now(), await this.#open()];
      for (let stuckSince = began, before = from; ; ) {
        await this.#pause(pollMs);
        const now = performance.now();
        const open = await this.#open();
        if (open < before) [stuckSince, before] = [now, open];
        if (now - stuckSince > stuckAfterMs + this.#config.scoringTimeoutMs) throw stuck();
        const elapsed = (now - began) / 1_000;
        const dry = open <= concurrency * workers;
        // A slow scorer needs longer for a count that means something.
        if (!dry && (elapsed < seconds || (from - open < 60 && elapsed < seconds * 6))) continue;
        const memory = (await Promise.all(running.map((w) => memoryMiB(w.pid ?? 0)))).filter((m) => m !== null);
        return {
          ...{ workers, concurrency, threads },
          rate: (from - open) / elapsed,
          busy: busyShare(cpuFrom, cpuTimes()),
          workerMiB: memory.length > 0 ? Math.max(...memory) : null,
          dry: dry && elapsed < seconds * 0.75,
        };
      }
    } finally {
      await this.#stopMembers(running);
    }
  }

  /** Open loop at `rate` a second: a request is sent when it is due, and its time counts from then to its row's `processed_at`. */
  async latency(setting: size.Setting, rate: number, seconds: number): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
    // Warm, as a fleet that serves is: the first seconds of a process are its slowest.
    await this.fill(Math.ceil(Math.min(3_000, rate * 2)));
    const running = await this.#startWorkers(setting);
    try {
      await this.#untilNoneOpen();
      const dueAt = new Map<string, number>();
      const sending: Promise<unknown>[] = [];
      const gap = () => (-Math.log(1 - Math.random()) * 1_000) / rate;
      const began = Date.now();
      for (let due = began + gap(); due < began + seconds * 1_000; ) {
        for (; due <= Date.now(); due += gap()) {
          const dueHere = due;
          const sent = this.#post().then((id) => dueAt.set(id, dueHere));
          sent.catch(() => {}); // told when all are awaited
          sending.push(sent);
        }
        await this.#pause(2);
      }
      await Promise.all(sending);
      await this.#untilNoneOpen();
      const waits = [...(await processedTimes(this.#database.store, statementDeadlineMs))]
        .flatMap(([id, at]) => {
          const due = dueAt.get(id);
          return due === undefined ? [] : [at.getTime() - due];
        })
        .sort((a, b) => a - b);
      const at = (p: number) => waits[Math.min(waits.length - 1, Math.floor(p * waits.length))] ?? Number.NaN;
      return { p50Ms: at(0.5), p99Ms: at(0.99) };
    } finally {
      await this.#stopMembers(running);
    }
  }

  get store() {
    return this.#database.store;
  }

  #untilNoneOpen(): Promise<void> {
    return this.#until(
      async () => (await this.#open()) === 0,
      () => this.#open(),
    );
  }

  /** @param moving  changes as long as there is progress. */
  async #until(done: () => Promise<boolean>, moving: () => Promise<number>): Promise<void> {
    let before = Number.NaN;
    let since = performance.now();
    while (!(await done())) {
      const now = await moving();
      if (now !== before) [before, since] = [now, performance.now()];
      if (performance.now() - since > stuckAfterMs + this.#config.scoringTimeoutMs) throw stuck();
      await this.#pause(pollMs);
    }
  }

  /** Waits, and looks whether waiting still makes sense. */
  async #pause(ms: number): Promise<void> {
    if (this.#stop.aborted) throw new StoppedError('stopped; what was made for the measurement is removed');
    for (const member of this.#members) {
      if (member.exitCode !== null || member.signalCode !== null) {
        throw new StartError(`a process of the measurement ended (${member.signalCode ?? member.exitCode}): the lines above say why`);
      }
    }
    await delay(ms);
  }

  /** Events that are not closed. @throws {StartError} if one failed. */
  async #open(): Promise<number> {
    const { store } = this.#database;
    const [pending, processing, failed] = await Promise.all(
      (['PENDING', 'PROCESSING', 'FAILED'] as const).map((status) => countStatus(store, status, statementDeadlineMs)),
    );
    if (failed)
      throw new StartError(
        'the scorer fails on one of these bodies: a measurement of failures is worth nothing (`afterword events` knows more of real ones)',
      );
    return (pending ?? 0) + (processing ?? 0);
  }

  async #post(): Promise<string> {
    if (this.#stop.aborted) throw new StoppedError('stopped; what was made for the measurement is removed');
    const body = this.#nextBody();
    this.#accepted++;
    const answer = await request(`${this.#apiUrl}/v1/conversations/end`, {
      method: 'POST',
      dispatcher: this.#agent,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await answer.body.dump();
    if (answer.statusCode !== 202)
      throw new StartError(`the API of the measurement answered ${answer.statusCode}: the lines above say why`);
    return body.conversation_id;
  }

  async #startWorkers({ workers, concurrency, threads }: size.Setting): Promise<ChildProcess[]> {
    const settings = {
      MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
      SCORING_THREADS: String(threads),
      WORKER_REPLICAS: String(workers),
      DATABASE_POOL_SIZE: String(size.workerPoolSize),
      // A failure is seen at once, and ends the measurement.
      MAX_ATTEMPTS: '1',
    };
    const started = await Promise.allSettled(Array.from({ length: workers }, () => this.#start('worker', settings)));
    const running = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value.child] : []));
    const failure = started.find((s) => s.status === 'rejected');
    if (failure === undefined) return running;
    await this.#stopMembers(running);
    throw failure.reason;
  }

  async #start(role: 'api' | 'worker', settings: Record<string, string>): Promise<{ child: ChildProcess; message: unknown }> {
    const env = {
      ...process.env,
      ...settings,
      DATABASE_URL: this.#config.databaseUrl,
      RABBITMQ_QUEUE_NAME: this.#config.queueName,
      RABBITMQ_QUEUE_MAX_LENGTH: String(this.#config.queueMaxLength),
      HOST: '127.0.0.1',
      PORT: '0',
      LOG_LEVEL: 'warn',
    };
    // Standard output is the report's. A member that loses us drains by itself (its channel is a leash).
    const child = spawn(process.execPath, [main, role], { env, stdio: ['ignore', 2, 'inherit', 'ipc'], detached: true });
    const ready = new Promise<unknown>((resolve) => child.once('message', resolve));
    const ended = new Promise<never>((_resolve, reject) => {
      child.once('exit', (code, signal) =>
        reject(new StartError(`the ${role} of the measurement ended (${signal ?? code}): the lines above say why`)),
      );
    });
    ended.catch(() => {});
    const message = await Promise.race([ready, ended]);
    this.#members.add(child);
    return { child, message };
  }

  async #stopMembers(members: readonly ChildProcess[]): Promise<void> {
    await Promise.all(
      members.map(async (child) => {
        this.#members.delete(child);
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }),
    );
  }
}

function stuck(): StartError {
  return new StartError('nothing is processed any more, and nothing says why: try `afterword doctor`');
}

type CpuTimes = { readonly idle: number; readonly all: number };

function cpuTimes(): CpuTimes {
  const times = cpus().map((cpu) => cpu.times);
  const idle = times.reduce((sum, t) => sum + t.idle, 0);
  return { idle, all: idle + times.reduce((sum, t) => sum + t.user + t.sys + t.nice + t.irq, 0) };
}

function busyShare(from: CpuTimes, to: CpuTimes): number {
  return 1 - (to.idle - from.idle) / Math.max(1, to.all - from.all);
}

/** Proportional set size on Linux (pages shared with other workers count once in their sum), else the resident set; null if neither is told. */
async function memoryMiB(pid: number): Promise<number | null> {
  const pss = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').then(
    (text) => /^Pss:\s+(\d+) kB/m.exec(text)?.[1],
    () => undefined,
  );
  if (pss !== undefined) return Number(pss) / 1_024;
  const rss = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).then(
    ({ stdout }) => Number(stdout),
    () => Number.NaN,
  );
  return Number.isFinite(rss) && rss > 0 ? rss / 1_024 : null;
}
