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
  let failed = '';
  const timer = setInterval(() => {
    let now = 'unreadable';
    try {
      now = changesOf(files);
      if (now === seen) return;
      server.setSecureContext(readCertificate(files));
      seen = now;
      log.info({ cert: files.cert }, 'certificate reloaded');
    } catch (error) {
      // Tried again each time, and said once: the other of two files may be replaced a moment later.
      if (failed !== now)
        log.error(
          { reason: (error as Error).message, cert: files.cert },
          'the new certificate cannot be used: keeping the previous one',
        );
      failed = now;
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
