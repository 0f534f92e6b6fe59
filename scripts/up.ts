import dotenv from 'dotenv';
import { startLocal, stopOnSignal, untilAborted } from './local.ts';

dotenv.config({ quiet: true });
const say = (line: string) => process.stdout.write(`· ${line}\n`);
const began = performance.now();
const stop = stopOnSignal();

try {
  const local = await startLocal({ env: process.env, say, stop });
  process.stdout.write(`
Afterword is up after ${((performance.now() - began) / 1_000).toFixed(1)} s: ${local.url} · 1 API · ${local.workers} workers

  curl -i ${local.url}/v1/conversations/end -H 'Content-Type: application/json' -d '{
    "conversation_id": "conv_demo_1", "user_id": "user_demo", "bot_type": "TALK", "bot_id": "talk_a", "bot_name": "Pika",
    "start_time": "2026-01-31T20:00:00Z", "end_time": "2026-01-31T20:15:00Z",
    "conversation_log": [
      {"speaker": "pika", "text": "Hi! What did you do today?"},
      {"speaker": "user", "text": "I played with my dog. His name is Lu. Do you like dogs?"}]}'
  curl ${local.url}/v1/conversations/conv_demo_1 -H 'Prefer: wait=10'

  scripts/afterword send scripts/samples/conversations.ndjson --url ${local.url} --wait

Ctrl-C drains and stops everything.

`);
  const code = await Promise.race([local.ended, untilAborted(stop)]);
  say(stop.aborted ? 'draining and stopping everything' : 'the fleet has ended; stopping the servers');
  await local.stop();
  say('stopped');
  process.exit(code ?? 0);
} catch (error) {
  if (stop.aborted) process.exit(0);
  process.stderr.write(`scripts/up: ${(error as Error).message}\n`);
  process.exit(1);
}
