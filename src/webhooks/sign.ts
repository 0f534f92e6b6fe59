import { createHmac, randomBytes } from 'node:crypto';
import type { Secrets } from './ports.ts';

const prefix = 'whsec_';
const secretBytes = 24;

/** As Standard Webhooks 1.0.0 has it. */
export function newSecret(): string {
  return prefix + randomBytes(secretBytes).toString('base64');
}

export function newEndpointId(): string {
  return `ep_${randomBytes(9).toString('base64url').replaceAll('-', 'A').replaceAll('_', 'B')}`;
}

/** The headers of Standard Webhooks 1.0.0. Each secret signs, so that receivers can change theirs at any time. */
export function signedHeaders(
  message: { readonly id: string; readonly at: Date; readonly body: string },
  secrets: Secrets,
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const seconds = String(Math.floor(message.at.getTime() / 1_000));
  const signed = `${message.id}.${seconds}.${message.body}`;
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(prefix.length), 'base64');
    return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
  });
  return { 'webhook-id': message.id, 'webhook-timestamp': seconds, 'webhook-signature': signatures.join(' ') };
}
