import type { Finding } from './finding.ts';
import { judge } from './finding.ts';

/** What an operator should know about who can use the API. */
export type AccessFacts = {
  /** Those that are valid; null: there never was a key. */
  readonly keys:
    | readonly { readonly name: string; readonly expiresAt: Date | null; readonly hasOurSecret: boolean }[]
    | null;
  /** Others can reach the API. */
  readonly isPublished: boolean;
  readonly allowsOpenApi: boolean;
  /** Of the certificate in `TLS_CERT_FILE`; null: there is none. */
  readonly certificateEnds: Date | null;
  /** It speaks HTTPS. */
  readonly hasTls: boolean;
  /** Connections to these hosts are neither local nor encrypted. */
  readonly plainHosts: readonly string[];
  /** Files with secrets that every user of this machine can read. */
  readonly readableFiles: readonly string[];
};

const dayMs = 86_400_000;
/** Enough to rotate a key, or to see why a certificate was not renewed. */
const soonMs = 14 * dayMs;

export function judgeAccess(facts: AccessFacts, now = Date.now()): Finding[] {
  const { keys, certificateEnds, plainHosts, readableFiles } = facts;
  const isSoon = (end: Date) => end.getTime() - now < soonMs;
  const ending = (keys ?? [])
    .filter(({ expiresAt }) => expiresAt !== null && isSoon(expiresAt))
    .map(({ name }) => name);
  const foreign = (keys ?? []).filter(({ hasOurSecret }) => !hasOurSecret).map(({ name }) => name);
  return [
    keys === null
      ? judge('API keys', !facts.isPublished, 'none: the API is open', {
          ...(facts.allowsOpenApi
            ? { warn: 'whoever reaches the API may read and change everything: `afterword keys create NAME`' }
            : { fail: 'the API will not start: `afterword keys create NAME`, or set ALLOW_OPEN_API=yes-i-understand' }),
        })
      : judge('API keys', keys.length > 0, keys.length === 0 ? 'no valid key' : `${keys.length} valid`, {
          warn: 'nobody can use the API: `afterword keys create NAME`',
        }),
    ...(facts.isPublished && !facts.hasTls
      ? [
          {
            check: 'HTTPS',
            status: 'warn',
            found: 'others reach the API, and it does not speak HTTPS',
            advice:
              'unless a proxy in front of it does, tokens can be read on the way: set TLS_CERT_FILE and TLS_KEY_FILE',
          } as const,
        ]
      : []),
    ...(ending.length === 0
      ? []
      : [
          {
            check: 'keys that end',
            status: 'warn',
            found: `within 14 days: ${ending.join(', ')}`,
            advice: 'give them another token in time: `afterword keys rotate NAME --expires 365d`',
          } as const,
        ]),
    ...(foreign.length === 0
      ? []
      : [
          {
            check: 'key secret',
            status: 'fail',
            found: `made with another API_KEY_SECRET: ${foreign.join(', ')}`,
            advice: 'these keys are refused: set the API_KEY_SECRET that they were made with, or rotate them',
          } as const,
        ]),
    ...(certificateEnds === null
      ? []
      : [
          judge('certificate', !isSoon(certificateEnds), `valid until ${certificateEnds.toISOString()}`, {
            ...(certificateEnds.getTime() <= now
              ? { fail: 'clients refuse it: put a new one in TLS_CERT_FILE; no restart is needed' }
              : { warn: 'renew it; no restart is needed' }),
          }),
        ]),
    ...(plainHosts.length === 0
      ? []
      : [
          {
            check: 'encryption',
            status: 'warn',
            found: `connections without TLS to ${plainHosts.join(', ')}`,
            advice:
              'unless the network is private, use ?tls=true in DATABASE_URL, amqps:// and rediss://, with CA_FILE if ' +
              'the authority is your own',
          } as const,
        ]),
    ...(readableFiles.length === 0
      ? []
      : [
          {
            check: 'files of secrets',
            status: 'warn',
            found: `every user of this machine can read ${readableFiles.join(', ')}`,
            advice: 'chmod 600, or 640 with the group of the service',
          } as const,
        ]),
  ];
}
