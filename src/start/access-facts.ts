import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { fingerprintOf } from '../access/index.ts';
import type { KnownKey } from '../access/ports.ts';
import { type Config, secretNames } from '../config.ts';
import type { AccessFacts } from '../operate/index.ts';
import { isLoopback } from './access.ts';

/**
 * @param known  every key there ever was.
 * @param certificateEnds  null: there is no certificate, or it cannot be read.
 */
export function accessFacts(
  config: Config,
  env: NodeJS.ProcessEnv,
  known: readonly KnownKey[],
  certificateEnds: Date | null,
): AccessFacts {
  const fingerprint = fingerprintOf(config.apiKeySecret ?? '');
  const valid = known.filter(
    ({ revokedAt, expiresAt }) => revokedAt === null && (expiresAt === null || expiresAt.getTime() > Date.now()),
  );
  return {
    keys:
      known.length === 0
        ? null
        : valid.map(({ name, expiresAt, hashedWith }) => ({
            name,
            expiresAt,
            hasOurSecret: hashedWith === fingerprint,
          })),
    isPublished: !isLoopback(config.publishedHost),
    allowsOpenApi: config.allowsOpenApi,
    hasTls: config.tlsCertFile !== null,
    certificateEnds,
    plainHosts: [config.databaseUrl, config.rabbitmqUrl, config.redisUrl].flatMap((text) => plainHost(text)),
    readableFiles: ['.env', config.tlsKeyFile, ...secretNames.map((name) => env[`${name}_FILE`])].filter(
      (file): file is string => typeof file === 'string' && isReadableByAll(file),
    ),
  };
}

/** @throws if the certificate cannot be read. */
export function certificateEnd({ tlsCertFile }: Config): Date | null {
  return tlsCertFile === null ? null : new Date(new X509Certificate(readFileSync(tlsCertFile)).validTo);
}

function plainHost(text: string | null): string[] {
  if (text === null) return [];
  const { protocol, hostname, host, searchParams } = new URL(text);
  const isEncrypted = protocol === 'amqps:' || protocol === 'rediss:' || searchParams.get('tls') === 'true';
  return isEncrypted || isLoopback(hostname.replace(/^\[(.*)\]$/, '$1')) ? [] : [host];
}

function isReadableByAll(file: string): boolean {
  return existsSync(file) && (statSync(file).mode & 0o004) !== 0;
}
