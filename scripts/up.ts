import { Command, CommanderError } from 'commander';
import dotenv from 'dotenv';
import { exitCodes } from '../src/runtime/exit-codes.ts';
import { ensureEspeak } from './espeak.ts';
import { startLocal, stopOnSignal, untilAborted } from './local.ts';
import { explain, say, secondsSinceCall } from './people.ts';

dotenv.config({ quiet: true });
const program = new Command('scripts/up')
  .description(
    'Starts servers if none are named (DATABASE_URL, RABBITMQ_URL), brings the schema up to date, ' +
      'and runs API_REPLICAS APIs and WORKER_REPLICAS workers in the ' +
      'foreground. Ctrl-C drains and stops everything; the data stay. ' +
      'Settings come from the environment and .env (see .env.example).\n\n' +
      "Messages for you go to stderr, the fleet's log to stdout: scripts/up > fleet.log",
  )
  .option('--sessions', 'with live sessions: also starts a Redis if none is named (REDIS_URL)')
  .option('--pronunciation', 'with phonemes: installs espeak-ng if no service is named (PHONEME_URL)')
  .exitOverride();
try {
  program.parse();
} catch (error) {
  process.exit(error instanceof CommanderError && error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
}

const stop = stopOnSignal();
try {
  const { sessions, pronunciation } = program.opts<{ sessions?: boolean; pronunciation?: boolean }>();
  if (pronunciation && !process.env['PHONEME_URL']) await ensureEspeak(say);
  const local = await startLocal({ env: process.env, withSessions: sessions === true, say, stop });
  process.stderr.write(`
Afterword is up after ${secondsSinceCall()} s: ${local.url} · ${local.members}

  curl -i ${local.url}/v1/conversations/end -H 'Content-Type: application/json' -d '{
    "conversation_id": "conv_demo_1", "user_id": "user_demo", "bot_type": "TALK", "bot_id": "talk_a",
    "bot_name": "Pika", "start_time": "2026-01-31T20:00:00Z", "end_time": "2026-01-31T20:15:00Z",
    "conversation_log": [
      {"speaker": "pika", "text": "Hi! What did you do today?"},
      {"speaker": "user", "text": "I played with my dog. His name is Lu. Do you like dogs?"}]}'
  curl ${local.url}/v1/conversations/conv_demo_1 -H 'Prefer: wait=10'

  scripts/afterword send scripts/samples/conversations.ndjson --wait
${sessions || process.env['REDIS_URL'] ? '  scripts/afterword sessions try --sync\n' : ''}${
  pronunciation ? "  scripts/afterword pronunciation compare 'a big dog' 'a pig dog'\n" : ''
}
Ctrl-C drains and stops everything; the data stay.

`);
  const code = await Promise.race([local.ended, untilAborted(stop)]);
  say(stop.aborted ? 'draining and stopping everything' : 'the fleet has ended; stopping the servers');
  await local.stop();
  say('stopped');
  process.exit(code ?? exitCodes.ok);
} catch (error) {
  process.exit(stop.aborted ? exitCodes.ok : explain('scripts/up', error));
}
