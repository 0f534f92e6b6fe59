import { readFileSync, statSync } from 'node:fs';
import type { Server } from 'node:https';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { Logger } from '../log.ts';

export type CertificateFiles = { readonly cert: string; readonly key: string };

/** Whoever renews certificates replaces the files; within this time new connections get the new ones. */
const lookMs = 10_000;

/** @throws {Error} if the files cannot be read, or do not belong together. */
export function readCertificate({ cert, key }: CertificateFiles): SecureContextOptions {
  const options = { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2' } as const;
  createSecureContext(options);
  return options;
}

/** Has new connections use the files as they are now. Files that cannot be used are logged, and those before stay. */
export function followCertificate(server: Server, files: CertificateFiles, log: Logger): void {
  let seen = changesOf(files);
  const timer = setInterval(() => {
    const now = changesOf(files);
    if (now === seen) return;
    seen = now;
    try {
      server.setSecureContext(readCertificate(files));
      log.info({ cert: files.cert }, 'the certificate was read again');
    } catch (error) {
      log.error({ err: error, cert: files.cert }, 'the new certificate cannot be used: the one before stays');
    }
  }, lookMs);
  timer.unref();
  server.once('close', () => clearInterval(timer));
}

function changesOf({ cert, key }: CertificateFiles): string {
  return [cert, key]
    .map((file) => {
      const found = statSync(file, { throwIfNoEntry: false });
      return `${found?.mtimeMs} ${found?.size} ${found?.ino}`;
    })
    .join();
}
