import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Acceptor, type ConversationRequest, createAcceptor } from '../accept/index.ts';
import { createPublisher, type Publisher, removeTopology } from '../broker/index.ts';
import type { Config } from '../config.ts';
import type { size } from '../operate/index.ts';
import type { Outbox } from '../outbox/index.ts';
import { countStatus, createScratchDatabase, insertEvents, migrate, openStore, processedTimes, type Store } from '../store/index.ts';
import { startOutbox, statementDeadlineMs, topologyOf } from './parts.ts';
import { StartError } from './start-error.ts';
import { quiet } from './tools.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const pollMs = 100;
/** Until code is compiled and connections are warm. */
const warmMs = 1_500;

/**
 * A database and a queue of its own on the user's servers, with the accepting half in this process and workers as processes of their own:
 * the real pipeline, on nobody's data.
 */
export class TrialGround implements AsyncDisposable {
  /** Of the last fill, events a second. */
  acceptRate = 0;
  readonly name: string;
  readonly store: Store;
  readonly #config: Config;
  readonly #acceptor: Acceptor;
  readonly #nextRequest: () => ConversationRequest;
  readonly #stack: AsyncDisposableStack;
  readonly #publisher: Publisher;
  #accepted = 0;

  private constructor(parts: {
    name: string;
    config: Config;
    store: Store;
    acceptor: Acceptor;
    publisher: Publisher;
    nextRequest: () => ConversationRequest;
    stack: AsyncDisposableStack;
  }) {
    this.name = parts.name;
    this.#config = parts.config;
    this.store = parts.store;
    this.#acceptor = parts.acceptor;
    this.#publisher = parts.publisher;
    this.#nextRequest = parts.nextRequest;
    this.#stack = parts.stack;
  }

  /** @throws {StartError} if the database user may not create a database. */
  static async open(given: Config, nextRequest: () => ConversationRequest): Promise<TrialGround> {
    const name = `afterword_size_${process.pid}`;
    await using stack = new AsyncDisposableStack();
    const scratch = await createScratchDatabase(given.databaseUrl, name).catch((cause: unknown) => {
      throw new StartError(
        'the measurement needs a database of its own beside yours, and the user of DATABASE_URL may not create one:\n' +
          `GRANT ALL ON \`afterword\\_size\\_%\`.* to that user, or name another user in DATABASE_URL (${(cause as Error).message})`,
        { cause },
      );
    });
    stack.defer(() => scratch.drop());
    const config: Config = { ...given, databaseUrl: scratch.url, queueName: `${name}_processing` };
    stack.defer(() => removeTopology(config.rabbitmqUrl, config.queueName, 'afterword size'));
    const store = stack.adopt(await openStore(config.databaseUrl, { poolSize: 6, connectTimeoutMs: 5_000 }), (s) => s.close());
    await migrate(store);
    const publisher = stack.adopt(
      createPublisher({ url: config.rabbitmqUrl, topology: topologyOf(config), log: quiet, name: 'afterword size' }),
      (p) => p.close(),
    );
    await publisher.firstSession;
    const outbox: Outbox = stack.adopt(startOutbox(config, store, publisher, quiet), (o) => o.close(2_000));
    const acceptor = createAcceptor({
      storeEvents: (events) => insertEvents(store, events, { graceMs: config.publishGraceMs, deadlineMs: statementDeadlineMs }),
      publish: (event) => outbox.publishNew(event),
      deadlineMs: statementDeadlineMs,
    });
    return new TrialGround({ name, config, store, acceptor, publisher, nextRequest, stack: stack.move() });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  /** Accepts until `open` events wait. */
  async fill(open: number): Promise<void> {
    let left = Math.max(0, open - (this.#accepted - (await this.#processed())));
    const count = left;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        while (left-- > 0) await this.#accept();
      }),
    );
    if (count >= 1_000) this.acceptRate = count / ((performance.now() - began) / 1_000);
    // Published, all of it: what the broker does not have yet would be drained at the pace it comes.
    while (((await this.#publisher.queueDepth()) ?? 0) < open * 0.98) await delay(pollMs);
  }

  /** Median milliseconds of a commit that carries one event. */
  async commitMs(): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < 40; i++) {
      const began = performance.now();
      await this.#accept();
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[20] ?? Number.NaN;
  }

  /** Drains for `seconds` (longer if events are slow) and says how fast. The backlog must be there. */
  async drain({ workers, concurrency, threads }: size.Setting, seconds: number): Promise<size.Trial> {
    const running = await this.#startWorkers({ workers, concurrency, threads });
    try {
      const start = await this.#processed();
      while ((await this.#processed()) === start) await delay(pollMs);
      await delay(warmMs);
      const [from, cpuFrom, began] = [await this.#processed(), cpuTimes(), performance.now()];
      for (;;) {
        await delay(pollMs);
        const n = await this.#processed();
        const elapsed = (performance.now() - began) / 1_000;
        const dry = n >= this.#accepted - concurrency * workers;
        // A slow scorer needs longer for a count that means something.
        if (!dry && (elapsed < seconds || (n - from < 60 && elapsed < seconds * 6))) continue;
        const memory = await Promise.all(running.map((w) => memoryMiB(w.pid ?? 0)));
        const known = memory.filter((m) => m !== null);
        return {
          workers,
          concurrency,
          threads,
          rate: (n - from) / elapsed,
          busy: busyShare(cpuFrom, cpuTimes()),
          workerMiB: known.length > 0 ? Math.max(...known) : null,
        };
      }
    } finally {
      await stopWorkers(running);
    }
  }

  /** Open loop at `rate` a second: what is due is accepted when it is due, and its time counts from then to its row's `processed_at`. */
  async latency(setting: size.Setting, rate: number, seconds: number): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> {
    const running = await this.#startWorkers(setting);
    try {
      await this.#untilIdle();
      const dueAt = new Map<string, number>();
      const accepting: Promise<unknown>[] = [];
      const gap = () => (-Math.log(1 - Math.random()) * 1_000) / rate;
      const began = Date.now();
      for (let due = began + gap(); due < began + seconds * 1_000; ) {
        for (; due <= Date.now(); due += gap()) {
          const request = this.#nextRequest();
          dueAt.set(request.conversationId, due);
          this.#accepted++;
          accepting.push(this.#acceptor.accept(request));
        }
        await delay(2);
      }
      await Promise.all(accepting);
      await this.#untilIdle();
      const waits: number[] = [];
      for (const [id, at] of await processedTimes(this.store, statementDeadlineMs)) {
        const due = dueAt.get(id);
        if (due !== undefined) waits.push(at.getTime() - due);
      }
      waits.sort((a, b) => a - b);
      const at = (p: number) => waits[Math.min(waits.length - 1, Math.floor(p * waits.length))] ?? Number.NaN;
      return { p50Ms: at(0.5), p99Ms: at(0.99) };
    } finally {
      await stopWorkers(running);
    }
  }

  async #untilIdle(): Promise<void> {
    while ((await this.#processed()) < this.#accepted) await delay(pollMs);
  }

  async #accept(): Promise<void> {
    this.#accepted++;
    await this.#acceptor.accept(this.#nextRequest());
  }

  #processed(): Promise<number> {
    return countStatus(this.store, 'PROCESSED', statementDeadlineMs);
  }

  async #startWorkers({ workers, concurrency, threads }: size.Setting): Promise<ChildProcess[]> {
    const env = {
      ...process.env,
      DATABASE_URL: this.#config.databaseUrl,
      RABBITMQ_QUEUE_NAME: this.#config.queueName,
      MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
      SCORING_THREADS: String(threads),
      WORKER_REPLICAS: String(workers),
      LOG_LEVEL: 'warn',
    };
    return Promise.all(
      Array.from({ length: workers }, async () => {
        const child = spawn(process.execPath, [main, 'worker'], { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true });
        const ready = new Promise((resolve) => child.once('message', resolve));
        const ended = new Promise((_resolve, reject) => {
          child.once('exit', (code) => reject(new StartError(`a worker ended with ${code} before it was ready: the lines above say why`)));
        });
        ended.catch(() => {});
        await Promise.race([ready, ended]);
        return child;
      }),
    );
  }
}

async function stopWorkers(workers: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    workers.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    }),
  );
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
