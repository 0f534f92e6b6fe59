import { espeak } from '../pronunciation/phonemes/espeak.ts';
import { phonemesRouter } from '../pronunciation/phonemes/serve.ts';
import { NoPhonemes } from '../pronunciation/ports.ts';
import { exitCodes } from '../runtime/exit-codes.ts';
import { createApp, listen } from '../runtime/http/index.ts';
import { createLogger } from '../runtime/log.ts';
import { aborted, createStop, tellParent } from '../runtime/shutdown.ts';
import { StartError } from '../runtime/start-error.ts';

const drainMs = 5_000;
const settings = {
  corsOrigins: [],
  trustProxy: null,
  problemBaseUrl: null,
  hasTls: false,
  certificate: null,
  longBodies: [],
} as const;

/**
 * Serves phonemes from espeak-ng by the contract of `PHONEME_URL`, until it is told to stop.
 * @throws {StartError} if espeak-ng is not installed, or the port cannot be had.
 */
export async function runPhonemes(options: { readonly host: string; readonly port: number }): Promise<number> {
  const log = createLogger({ role: 'phonemes', level: 'info', format: process.stdout.isTTY ? 'pretty' : 'json' });
  const stop = createStop(log);
  const source = espeak();
  await source.lookUp({ text: 'hello', lang: 'en-US', mode: true }).catch((error: unknown) => {
    throw error instanceof NoPhonemes ? new StartError(error.message, { cause: error }) : error;
  });
  const app = createApp([phonemesRouter(source)], settings, log);
  const { server, url } = await listen(app, { ...options, ...settings, maxBodyBytes: 65_536 }, log).catch(
    (error: { code?: string }) => {
      const what =
        error.code === 'EADDRINUSE' ? 'is in use: stop that server, or pass --port' : `cannot be used (${error.code})`;
      throw new StartError(`${options.host}:${options.port} ${what}`, { cause: error });
    },
  );
  log.info({ url }, 'serving phonemes');
  tellParent({ ready: true, url });
  await aborted(stop.signal);
  log.info({ reason: String(stop.signal.reason) }, 'draining');
  const late = setTimeout(() => server.closeAllConnections(), drainMs);
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeIdleConnections();
  });
  clearTimeout(late);
  log.info('stopped');
  return exitCodes.ok;
}
