import { readFileSync } from 'node:fs';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { ConfigError } from '../config.ts';

/**
 * Has every connection of this process trust the authorities in a PEM file, in addition to those of Node.
 * @throws {ConfigError} if the file cannot be used.
 */
export function trustAuthorities(file: string): void {
  try {
    const pem = readFileSync(file, 'utf8');
    const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    if (certificates.length === 0) throw new Error('it contains no certificate');
    setDefaultCACertificates([...getCACertificates('default'), ...certificates]);
  } catch (error) {
    throw new ConfigError(`CA_FILE ${file} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
