import { installPackage } from './servers/install.ts';
import { findProgram } from './servers/process.ts';
import type { Say } from './servers/server.ts';

/** espeak-ng, which is installed if it is missing. @throws {Error} that says what to do. */
export async function ensureEspeak(say: Say): Promise<void> {
  if ((await findProgram('espeak-ng')) !== null) return say('phonemes    espeak-ng, which is installed here');
  await installPackage('espeak-ng', { what: 'phonemes', otherwise: 'name a service in PHONEME_URL', say });
}
