import { type JsonServer, startJsonServer } from './json-server.ts';

export { answer } from './json-server.ts';

type Asked = {
  readonly text?: string;
  readonly texts?: readonly string[];
  readonly lang: string;
  readonly mode: boolean;
};
export type PhonemeServer = JsonServer<Asked>;

/** Whatever a text is, these are its phonemes: letters are their own. */
export const ipaOf = (text: string) => `ˈ${text.toLowerCase().replace(/[^a-zà-ỹ]/gu, '')}`;

/** A phoneme service on this machine that can be made to misbehave. */
export function startPhonemeServer(options: { readonly delayMs?: number } = {}): Promise<PhonemeServer> {
  return startJsonServer<Asked>(
    ({ text, texts }) => ({ ipa: texts?.map(ipaOf) ?? ipaOf(text ?? ''), extra: 'ignored' }),
    { ...options, path: '/ipa?v=1' },
  );
}
