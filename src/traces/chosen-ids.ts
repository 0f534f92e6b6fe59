import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace';

type Ids = { readonly traceId?: string; readonly spanId: string };

/** Random ids, except for spans whose id was handed out before they were created. */
export class ChosenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #chosen: Ids | null = null;

  /** Makes a span, synchronously, with these ids. */
  using<T>(ids: Ids, make: () => T): T {
    this.#chosen = ids;
    try {
      return make();
    } finally {
      this.#chosen = null;
    }
  }

  generateTraceId(): string {
    return this.#chosen?.traceId ?? this.#random.generateTraceId();
  }

  generateSpanId(): string {
    return this.#chosen?.spanId ?? this.#random.generateSpanId();
  }
}
