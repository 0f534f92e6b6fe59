import type { Spoken } from '../ports.ts';

const mostTexts = 10;

type Waiting = { readonly text: string; resolve(ipa: string | null): void; reject(error: unknown): void };

/**
 * Gathers texts that are asked for at about the same time into one call: at most ten of one language and mode, and
 * for at most `waitMs`.
 */
export function gather(
  lookUpAll: (texts: readonly string[], of: Omit<Spoken, 'text'>) => Promise<readonly (string | null)[]>,
  { waitMs }: { readonly waitMs: number },
): (spoken: Spoken) => Promise<string | null> {
  const open = new Map<string, { readonly waiting: Waiting[]; send(): void }>();

  return ({ text, lang, mode }) => {
    const key = `${lang} ${mode}`;
    return new Promise((resolve, reject) => {
      const batch = open.get(key) ?? begin();
      batch.waiting.push({ text, resolve, reject });
      if (batch.waiting.length >= mostTexts) batch.send();

      function begin() {
        const waiting: Waiting[] = [];
        const send = () => {
          clearTimeout(timer);
          open.delete(key);
          lookUpAll(
            waiting.map((one) => one.text),
            { lang, mode },
          ).then(
            (all) => waiting.forEach((one, i) => void one.resolve(all[i] ?? null)),
            (error: unknown) => waiting.forEach((one) => void one.reject(error)),
          );
        };
        const timer = setTimeout(send, waitMs);
        open.set(key, { waiting, send });
        return { waiting, send };
      }
    });
  };
}
