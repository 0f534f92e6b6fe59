import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { createOwnQueue, type OwnQueue } from '../broker/index.ts';
import type { Config } from '../config.ts';
import { StartError, StoppedError } from '../runtime/start-error.ts';
import { topologyOf } from '../start/broker.ts';
import { statementDeadlineMs } from '../start/limits.ts';
import { brokerAway, openToolStore } from '../start/tool.ts';
import { countStatus, createScratchDatabase, type ScratchDatabase } from '../store/index.ts';
import type { NextBody } from './bodies.ts';
import type { Setting } from './choose-setting.ts';
import { createMembers, type Members } from './members.ts';
import { fewestForRate } from './model.ts';
import { workerPoolSize } from './recommend.ts';

const pollMs = 200;
const clients = 100;
/** On top of a scoring's deadline. */
const stuckAfterMs = 30_000;
/** Access denied to a database, to a table, or to a right. */
const denied = new Set([1044, 1142, 1227]);

/**
 * A temporary database and queue on the user's servers, with a real API and real workers: the whole pipeline, without
 * touching the user's data. Every wait here ends when the stop signal fires, a member dies, an event fails, or nothing
 * moves.
 */
export class TestBed implements AsyncDisposable {
  /** Events per second of the last fill that was long enough. */
  acceptRate = Number.NaN;
  readonly name: string;
  readonly #config: Config;
  readonly #database: ScratchDatabase;
  readonly #queue: OwnQueue;
  readonly #nextBody: NextBody;
  readonly #stop: AbortSignal;
  readonly #stack = new AsyncDisposableStack();
  readonly #agent = new Agent({ connections: clients });
  readonly #members: Members;
  #apiUrl = '';
  accepted = 0;

  private constructor(
    name: string,
    config: Config,
    database: ScratchDatabase,
    queue: OwnQueue,
    nextBody: NextBody,
    stop: AbortSignal,
  ) {
    this.name = name;
    this.#config = config;
    this.#database = database;
    this.#queue = queue;
    this.#nextBody = nextBody;
    this.#stop = stop;
    this.#members = createMembers({
      DATABASE_URL: config.databaseUrl,
      RABBITMQ_QUEUE_NAME: config.queueName,
      RABBITMQ_QUEUE_MAX_LENGTH: String(config.queueMaxLength),
      HOST: '127.0.0.1',
      PORT: '0',
      LOG_LEVEL: 'warn',
      ALLOW_OPEN_API: 'yes-i-understand',
    });
  }

  /** @throws {StartError} that says which server refuses what. */
  static async open(given: Config, nextBody: NextBody, stop: AbortSignal): Promise<TestBed> {
    await (await openToolStore(given, { anySchema: true })).close(); // throws if something is wrong with the server
    const name = `afterword_size_${randomBytes(4).toString('hex')}`;
    await using undo = new AsyncDisposableStack();
    const database = await createScratchDatabase(given.databaseUrl, name).catch((cause: unknown) => {
      if (!denied.has(Number((cause as { errno?: unknown }).errno))) throw cause;
      throw new StartError(
        'the measurement needs a database of its own, and the user of DATABASE_URL may not create one:\n' +
          'GRANT ALL ON `afterword\\_size\\_%`.* to that user, or name another user in DATABASE_URL',
        { cause },
      );
    });
    undo.defer(() => database.drop());
    const config: Config = {
      ...given,
      databaseUrl: database.url,
      queueName: `${name}_processing`,
      queueMaxLength: 5_000_000,
    };
    const queue = await createOwnQueue(config.rabbitmqUrl, topologyOf(config), 'afterword size').catch(
      (error: unknown) => {
        throw brokerAway(config, error);
      },
    );
    undo.defer(() => queue.remove());
    const bed = new TestBed(name, config, database, queue, nextBody, stop);
    undo.defer(() => bed.#members.stop());
    // Not close(), which would wait for answers that may never come.
    undo.defer(() => bed.#agent.destroy());
    bed.#apiUrl = (await bed.#members.start('api', {})).url;
    bed.#stack.use(undo.move());
    return bed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  /** Empties queue and database, then has `events` accepted, so that they wait in the queue. */
  async fill(events: number): Promise<void> {
    await this.#queue.empty();
    await this.#database.empty();
    this.accepted = 0;
    const began = performance.now();
    let left = events;
    await Promise.all(
      Array.from({ length: clients }, async () => {
        while (left-- > 0) await this.post();
      }),
    );
    if (events >= fewestForRate) this.acceptRate = events / ((performance.now() - began) / 1_000);
    // Wait until all are published: the rest would only be drained at the pace at which it arrives.
    await this.until(
      async () => (await this.#queue.depth()) >= events,
      () => this.#queue.depth(),
    );
  }

  /** Median time of a single 202 without other load, milliseconds: its commit, and little else. */
  async commitMs(): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < 41; i++) {
      const began = performance.now();
      await this.post();
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[20] ?? Number.NaN;
  }

  get store() {
    return this.#database.store;
  }

  /** Milliseconds without any progress after which something is wrong that more waiting does not fix. */
  get stuckAfterMs() {
    return stuckAfterMs + this.#config.scoringTimeoutMs;
  }

  untilNoneOpen(): Promise<void> {
    return this.until(
      async () => (await this.openEvents()) === 0,
      () => this.openEvents(),
    );
  }

  /** @param moving  a number that changes while there is progress. */
  async until(done: () => Promise<boolean>, moving: () => Promise<number>): Promise<void> {
    let before = Number.NaN;
    let since = performance.now();
    while (!(await done())) {
      const now = await moving();
      if (now !== before) [before, since] = [now, performance.now()];
      if (performance.now() - since > this.stuckAfterMs) throw stuck();
      await this.pause(pollMs);
    }
  }

  #assertNotStopped(): void {
    if (this.#stop.aborted) throw new StoppedError('stopped; the temporary database and queue are removed');
  }

  /** Waits, after checking that waiting still makes sense. */
  async pause(ms: number): Promise<void> {
    this.#assertNotStopped();
    this.#members.assertAlive();
    await delay(ms);
  }

  /** Events that are not closed. @throws {StartError} if one failed. */
  async openEvents(): Promise<number> {
    const { store } = this.#database;
    const [pending, processing, failed] = await Promise.all(
      (['PENDING', 'PROCESSING', 'FAILED'] as const).map((status) => countStatus(store, status, statementDeadlineMs)),
    );
    if (failed) throw new StartError('the scorer fails on one of these bodies: measuring failures is pointless');
    return (pending ?? 0) + (processing ?? 0);
  }

  async post(): Promise<string> {
    this.#assertNotStopped();
    const body = this.#nextBody();
    this.accepted++;
    const answer = await request(`${this.#apiUrl}/v1/conversations/end`, {
      method: 'POST',
      dispatcher: this.#agent,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    await answer.body.dump();
    if (answer.statusCode !== 202)
      throw new StartError(`the API answered ${answer.statusCode} during the measurement: the lines above say why`);
    return body.conversation_id;
  }

  stopWorkers(running: readonly ChildProcess[]): Promise<void> {
    return this.#members.stop(running);
  }

  async startWorkers({ workers, concurrency, threads }: Setting): Promise<ChildProcess[]> {
    const settings = {
      MESSAGE_CONCURRENCY_PER_WORKER: String(concurrency),
      SCORING_THREADS: String(threads),
      WORKER_REPLICAS: String(workers),
      DATABASE_POOL_SIZE: String(workerPoolSize),
      // So that a failure shows at once and ends the measurement.
      MAX_ATTEMPTS: '1',
    };
    const started = await Promise.allSettled(
      Array.from({ length: workers }, () => this.#members.start('worker', settings)),
    );
    const running = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value.child] : []));
    const failure = started.find((s) => s.status === 'rejected');
    if (failure === undefined) return running;
    await this.#members.stop(running);
    throw failure.reason;
  }
}

export function stuck(): StartError {
  return new StartError('processing has stopped for no known reason: try `afterword doctor`');
}
