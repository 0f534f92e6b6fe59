/**
 * How well the friendship scorer reads the labelled sample conversations.
 * Run: node bench/analyser.ts [--questions N]   (N: print that many user items with the verdict, for inspection)
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseConversationRequest } from '../src/accept/request.ts';
import { type Emotion, judgeEmotion, readSignals } from '../src/score/friendship/emotion.ts';
import { countNewMemories, findFacts } from '../src/score/friendship/memories.ts';
import { asks, countUserQuestions } from '../src/score/friendship/questions.ts';

const { values } = parseArgs({
  options: { questions: { type: 'string', default: '0' }, memories: { type: 'string', default: '0' } },
});
const lines = (name: string) =>
  readFileSync(new URL(`../scripts/samples/${name}`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((l) => JSON.parse(l));
const labels = new Map<string, { user_sentiments: string[] }>(
  lines('conversations.labels.ndjson').map((l) => [l.conversation_id, l]),
);
const conversations = lines('conversations.ndjson').map(parseConversationRequest);

/** The labels' words for a message, mapped to ours. */
const ours: Record<string, Emotion> = {
  'Curious to dive deeper': 'interesting',
  Surprised: 'interesting',
  Happy: 'happy',
  Neutral: 'neutral',
  Sad: 'sad',
  Fearful: 'sad',
  Angry: 'angry',
  Disgusted: 'angry',
};

function goldOf(id: string): Emotion {
  const counts = new Map<Emotion, number>();
  for (const s of labels.get(id)?.user_sentiments ?? [])
    counts.set(ours[s] ?? 'neutral', (counts.get(ours[s] ?? 'neutral') ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'neutral';
}

for (const [half, pick] of [
  ['tuning half (even lines)', 0],
  ['held-out half (odd lines)', 1],
] as const) {
  const confusion = new Map<string, number>();
  let right = 0;
  let n = 0;
  const recall = new Map<Emotion, [number, number]>();
  for (const [i, c] of conversations.entries()) {
    if (i % 2 !== pick) continue;
    const gold = goldOf(c.conversationId);
    const said = judgeEmotion(readSignals(c.turns));
    n++;
    if (gold === said) right++;
    const r = recall.get(gold) ?? [0, 0];
    recall.set(gold, [r[0] + (gold === said ? 1 : 0), r[1] + 1]);
    confusion.set(`${gold} read as ${said}`, (confusion.get(`${gold} read as ${said}`) ?? 0) + 1);
  }
  const largest = Math.max(...[...recall.values()].map(([, all]) => all));
  console.log(
    `${half}: ${right}/${n} = ${((100 * right) / n).toFixed(1)} % right; always the most frequent: ` +
      `${((100 * largest) / n).toFixed(1)} %`,
  );
  console.log('  recall', Object.fromEntries([...recall].map(([e, [a, b]]) => [e, `${a}/${b}`])));
  console.log(' ', Object.fromEntries([...confusion].sort((a, b) => b[1] - a[1])));
}

const items = conversations.flatMap((c) =>
  c.turns.flatMap((t, i) => (t.speaker === 'user' ? [{ bot: c.turns[i - 1]?.text ?? '', text: t.text }] : [])),
);
const counted = items.filter(({ bot, text }) => asks(text, bot)).length;
console.log(
  `questions: ${counted} of ${items.length} user items; ${items.filter((i) => i.text.includes('?')).length} have a ` +
    `question mark`,
);
console.log(
  `per conversation: ${(conversations.reduce((s, c) => s + countUserQuestions(c.turns), 0) / 400).toFixed(2)} ` +
    `questions, ${(conversations.reduce((s, c) => s + countNewMemories(c.turns, c.botType), 0) / 400).toFixed(2)} ` +
    `memories`,
);
const started = performance.now();
for (const c of conversations) judgeEmotion(readSignals(c.turns)) && countNewMemories(c.turns, c.botType);
console.log(`CPU: ${((performance.now() - started) / 400).toFixed(3)} ms per conversation`);

let seed = 7;
const random = () => {
  seed = (seed * 16_807) % 2_147_483_647;
  return seed / 2_147_483_647;
};
for (let i = 0; i < Number(values.questions); i++) {
  const item = items[Math.floor(random() * items.length)];
  if (item) console.log(asks(item.text, item.bot) ? '[Q]' : '[ ]', item.bot.slice(-60), '|', item.text.slice(0, 220));
}
if (Number(values.memories) > 0) {
  const all = items.flatMap((i) => findFacts(i.text).map((f) => `${f}  <-  ${i.text.slice(0, 120)}`));
  for (let i = 0; i < Number(values.memories); i++) console.log(all[Math.floor(random() * all.length)]);
}
