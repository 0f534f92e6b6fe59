/** What is said, in which language (BCP 47, such as `en-US`), and a mode that is passed on to the service. */
export type Spoken = { readonly text: string; readonly lang: string; readonly mode: boolean };

/** Finds the phonemes of a text, as IPA. */
export type PhonemeSource = {
  /** `service` or `espeak-ng`. */
  readonly name: string;
  /** Two sources with the same find the same: part of the key under which processes share what they know. */
  readonly id: string;
  /** @throws {NoPhonemes} */
  lookUp(spoken: Spoken): Promise<string>;
  close(): Promise<void>;
};

/** A cache that several processes share; best effort. */
export type SharedCache = {
  get(key: string): Promise<string | null>;
  set(key: string, ipa: string): Promise<void>;
};

/**
 * Why there are no phonemes. `refused`: the source does not take this text or this language; `unavailable`: it may, at
 * another time.
 */
export class NoPhonemes extends Error {
  override readonly name = 'NoPhonemes';
  readonly kind: 'refused' | 'unavailable';
  /** For metrics: what the source or the client says. */
  readonly reason: string;

  constructor(kind: 'refused' | 'unavailable', reason: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
    this.reason = reason;
  }
}
