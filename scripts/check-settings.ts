import { pino } from 'pino';
import { type Config, ConfigError, loadConfig } from '../src/config.ts';
import { startScorePool } from '../src/score/index.ts';
import { loadResponder } from '../src/sessions/responder.ts';

/** Stand-ins for servers that are not running yet. */
const placeholders = { DATABASE_URL: 'mysql://127.0.0.1/afterword', RABBITMQ_URL: 'amqp://127.0.0.1' };

/**
 * Checks the settings before any server is installed or started.
 * @throws {ConfigError} @throws {PipelineError} `SCORER_MODULE`
 */
export async function checkSettings(env: NodeJS.ProcessEnv, stop: AbortSignal): Promise<Config> {
  const given = Object.entries(placeholders).map(([name, value]) => [name, env[name] || value]);
  const config = loadConfig({ ...env, ...Object.fromEntries(given) });
  if (config.scorerModule !== null) {
    const pool = await startScorePool({
      threads: 1,
      threadMemoryMb: config.scoringThreadMemoryMb,
      threadMaxTasks: 0,
      timeoutMs: config.scoringTimeoutMs,
      weights: config.weights,
      scorerModule: config.scorerModule,
      stop,
      log: pino({ level: 'silent' }),
    });
    await pool.close();
  }
  const { responderModule } = config;
  if (responderModule !== null) {
    await loadResponder(responderModule).catch((error: Error) => {
      throw new ConfigError(`RESPONDER_MODULE ${responderModule} cannot be loaded: ${error.message}`);
    });
  }
  return config;
}
