/**
 * How well the friendship scorer reads conversations that none of its rules and weights was made from.
 * Run: node bench/analyser/samples.ts [--memories N]   (N: print that many facts and where they come from, to be read)
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseConversationRequest } from '../../src/accept/request.ts';
import { judgeByRules, readSignals } from '../../src/score/friendship/emotion/judge-by-rules.ts';
import { readEmotion } from '../../src/score/friendship/emotion/read-emotion.ts';
import { countNewMemories, findFacts } from '../../src/score/friendship/memories.ts';
import { asks, countUserQuestions } from '../../src/score/friendship/questions.ts';
import { goldOf, linesOf } from './examples.ts';
import { createRandom, majority, printMeasures, type Verdict } from './measures.ts';

const { values } = parseArgs({ options: { memories: { type: 'string', default: '0' } } });
const read = <T>(path: string) => linesOf<T>(readFileSync(new URL(path, import.meta.url), 'utf8'));
const samples = '../../scripts/samples';
const conversations = read(`${samples}/conversations.ndjson`).map(parseConversationRequest);

type Item = { readonly family?: string; readonly bot: string; readonly text: string; readonly asks: boolean };

emotions();
questions('English, read by hand', read('questions/english.ndjson'));
questions('Vietnamese, written for this', read('questions/vietnamese.ndjson'));
cost();
memories(Number(values.memories));

function emotions(): void {
  const labels = new Map(
    read<{ conversation_id: string; user_sentiments: string[] }>(`${samples}/conversations.labels.ndjson`).map(
      (line) => [line.conversation_id, line.user_sentiments],
    ),
  );
  const verdicts = (say: (turns: (typeof conversations)[number]['turns'], questions: number) => Verdict['said']) =>
    conversations.map(({ conversationId, turns }) => ({
      id: conversationId,
      gold: goldOf(labels.get(conversationId) ?? []),
      said: say(turns, countUserQuestions(turns)),
    }));
  const scored = verdicts((turns, n) => readEmotion(turns, n).emotion);
  printMeasures('always "interesting"', majority(scored));
  printMeasures(
    'the rules alone (half of these tuned them)',
    verdicts((turns, n) => judgeByRules(readSignals(turns, n))),
  );
  printMeasures('as scored', scored);
}

function questions(name: string, items: readonly Item[]): void {
  const wrong = items.filter((item) => asks(item.text, item.bot) !== item.asks);
  const found = items.filter((item) => asks(item.text, item.bot));
  const right = found.filter((item) => item.asks).length;
  const there = items.filter((item) => item.asks).length;
  console.log(
    `questions, ${name}: ${items.length - wrong.length} of ${items.length} right, ` +
      `precision ${(right / found.length).toFixed(2)} (${right}/${found.length}), ` +
      `recall ${(right / there).toFixed(2)} (${right}/${there})`,
  );
  for (const { family, bot, text, asks: is } of wrong)
    console.log(`  ${is ? 'missed' : 'counted'}${family ? ` (${family})` : ''}: ${bot.slice(-50)} | ${text}`);
}

function cost(): void {
  const each = (work: (c: (typeof conversations)[number]) => unknown) => {
    const began = process.cpuUsage();
    for (const c of conversations) work(c);
    const { user, system } = process.cpuUsage(began);
    return ((user + system) / 1_000 / conversations.length).toFixed(2);
  };
  const all = each(({ turns, botType }) => {
    readEmotion(turns, countUserQuestions(turns));
    return countNewMemories(turns, botType);
  });
  const emotion = each(({ turns }) => readEmotion(turns, 0));
  const rules = each(({ turns }) => judgeByRules(readSignals(turns, 0)));
  console.log(`CPU per conversation: all ${all} ms; the emotion ${emotion} ms, of which by rules ${rules} ms`);
}

function memories(shown: number): void {
  const each = conversations.map(({ turns, botType }) => countNewMemories(turns, botType));
  console.log(`memories: ${(each.reduce((a, b) => a + b, 0) / each.length).toFixed(2)} per conversation`);
  const texts = conversations.flatMap(({ turns }) => turns.filter((t) => t.speaker === 'user').map((t) => t.text));
  const facts = texts.flatMap((text) => findFacts(text).map((fact) => `${fact}  <-  ${text.slice(0, 120)}`));
  const random = createRandom(7);
  for (let i = 0; i < shown; i++) console.log(facts[Math.floor(random() * facts.length)]);
}
