import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Turn } from '../../src/event/conversation.ts';
import type { Emotion } from '../../src/score/friendship/emotion/emotions.ts';

/** A labelled conversation from the side of one of its speakers. */
export type Example = {
  /** Of the conversation: two examples have the same. */
  readonly id: string;
  readonly log: readonly Turn[];
  readonly gold: Emotion;
};

/** The words with which people labelled their messages, and ours. */
const ours: Readonly<Record<string, Emotion>> = {
  'Curious to dive deeper': 'interesting',
  Surprised: 'interesting',
  Happy: 'happy',
  Neutral: 'neutral',
  Sad: 'sad',
  Fearful: 'sad',
  Angry: 'angry',
  Disgusted: 'angry',
};

/** The most frequent feeling of somebody's messages; of several, the one that came first. */
export function goldOf(sentiments: readonly string[]): Emotion {
  const counts = new Map<Emotion, number>();
  for (const one of sentiments) {
    const emotion = ours[one] ?? 'neutral';
    counts.set(emotion, (counts.get(emotion) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'neutral';
}

/** Two examples a conversation, in the order of the file. */
export function readExamples(): Example[] {
  type Line = { id: string; messages: { agent: string; text: string; sentiment: string }[] };
  const file = readFileSync(new URL('data/conversations.ndjson.gz', import.meta.url));
  return linesOf<Line>(gunzipSync(file).toString()).flatMap(({ id, messages }) =>
    ['agent_1', 'agent_2'].flatMap((agent) => {
      const own = messages.filter((m) => m.agent === agent);
      if (own.length === 0) return [];
      const log = messages.map((m, i) => turn(m.agent === agent ? 'user' : 'pika', i, m.text));
      return [{ id, log, gold: goldOf(own.map((m) => m.sentiment)) }];
    }),
  );
}

export function linesOf<T>(text: string): T[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

function turn(speaker: Turn['speaker'], i: number, text: string): Turn {
  return { speaker, turn_id: i + 1, text, timestamp: '' };
}
