import { setTimeout as delay } from 'node:timers/promises';
import { answer, type PhonemeServer } from '../../support/phoneme-server.ts';
import { type Body, realBody } from '../../support/traffic.ts';
import { type Fault, type Scene, untilSaid } from './fault.ts';

const opened = 'nothing is sent to it for some seconds';
const closed = 'the service answers again';

/** What a service that is asked before each scoring can do. The scorings of other conversations must go on. */
export function phonemeFaults(server: () => PhonemeServer): readonly Fault[] {
  const until = (breakage: (server: PhonemeServer) => void) => async (scene: Scene) => {
    await Promise.all(repeated(scene.stream, 'before', 5).map((body) => scene.traffic.send(body)));
    // Seen: enough calls fail for the circuit to open, and one that succeeds closes it.
    await untilSaid(scene.fleet, opened, async () => {
      breakage(server());
      await Promise.all(repeated(scene.stream, 'while', 15).map((body) => scene.traffic.send(body)));
    });
    await scene.whileBroken();
    await scene.traffic.more(20);
    await untilSaid(scene.fleet, closed, () => server().behave(null));
    await Promise.all(repeated(scene.stream, 'after', 5).map((body) => scene.traffic.send(body)));
  };

  return [
    {
      name: 'the phoneme service answers 500',
      strike: until((s) => s.behave((_asked, response) => answer(response, 500, 'down'))),
    },
    {
      name: 'the phoneme service ends every connection',
      strike: until((s) => s.behave((_asked, response) => void response.socket?.destroy())),
    },
    {
      name: 'the phoneme service takes requests and never answers (half-open)',
      strike: until((s) => s.behave(() => {})),
    },
    {
      name: 'the phoneme service drips its answers',
      strike: until((s) =>
        s.behave(async (_asked, response) => {
          response.writeHead(200, { 'content-type': 'application/json' });
          while (!response.destroyed) {
            response.write(' ');
            await delay(50);
          }
        }),
      ),
    },
    {
      name: 'the phoneme service answers something else',
      strike: until((s) => s.behave((_asked, response) => answer(response, 200, { phonemes: [] }))),
    },
    {
      name: 'the phoneme service answers half a body',
      strike: until((s) =>
        s.behave((_asked, response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
          response.write('{"ipa": "k');
          setTimeout(() => response.socket?.destroy(), 20);
        }),
      ),
    },
  ];
}

/** Real conversations in which the user repeats a sentence that nobody has looked up. */
function repeated(stream: string, name: string, n: number): Body[] {
  return Array.from({ length: n }, (_, i) => {
    const letters = `${stream}${name}${String.fromCharCode(97 + i)}`.replace(
      /\d/g,
      (digit) => 'klmnopqrst'[+digit] ?? '',
    );
    return {
      ...realBody(stream, i, 4),
      conversation_id: `${stream}_${name}_${i}`,
      conversation_logs: undefined,
      conversation_log: [
        { speaker: 'pika', text: 'Repeat after me!' },
        { speaker: 'user', text: `${letters} one`, target_text: `${letters} two` },
      ],
    };
  });
}
