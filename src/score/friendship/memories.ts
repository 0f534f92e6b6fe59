import type { Turn } from '../../event/conversation.ts';
import lexicon from './lexicon/memories.json' with { type: 'json' };
import { plain, words } from './text.ts';

type Frame = { readonly kind: string; readonly pattern: RegExp; readonly needsObject: boolean };

/** Captures up to three words: enough to tell two facts apart, few enough to recognise one that is told twice. */
const something = "[\\p{L}\\p{M}\\p{N}'-]+(?:\\s+[\\p{L}\\p{M}\\p{N}'-]+){0,2}";
const number =
  '\\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|một|hai|ba|bốn|năm|sáu|bảy|tám|chín|mười';

const frames: readonly Frame[] = lexicon.frames.flatMap(({ kind, frames: texts }) =>
  texts.map((text) => ({ kind, pattern: compile(text), needsObject: text.includes('{x}') })),
);
const fillers = new Set(lexicon.fillers);
const vague = new Set(lexicon.vague);
const lessonBot = 'NEXT_LESSON';

/**
 * Counts the facts that users tell about themselves, each once per conversation. Lessons count none, because in them
 * children repeat sentences that are not about themselves.
 */
export function countNewMemories(log: readonly Turn[], botType: string): number {
  if (isLesson(botType)) return 0;
  const facts = new Set<string>();
  for (const turn of log) {
    if (turn.speaker === 'user') for (const fact of findFacts(turn.text)) facts.add(fact);
  }
  return facts.size;
}

export function isLesson(botType: string): boolean {
  return botType.trim().toUpperCase().replace(/\s+/g, '_') === lessonBot;
}

/** Keys of the facts in one text, as `kind:words`. Questions state no facts. */
export function findFacts(text: string): string[] {
  const facts: string[] = [];
  for (const clause of plain(text).split(/[.!;,…\n]+|(?<=\?)|\s+(?:but|because|though|although|nhưng|vì)\s+/u)) {
    if (clause.includes('?')) continue;
    for (const { kind, pattern, needsObject } of frames) {
      const match = pattern.exec(clause);
      if (match === null) continue;
      const [first = ''] = words(match.groups?.['x'] ?? '');
      if (needsObject && vague.has(first)) continue;
      facts.push(
        `${kind}:${words(match[0])
          .filter((w) => !fillers.has(w))
          .join(' ')}`,
      );
      break; // one clause counts as one fact, of the first kind that matches
    }
  }
  return facts;
}

/**
 * Compiles a frame into a pattern. `{x}` matches something, `{x?}` something or nothing, `{n}` a number; parentheses
 * enclose alternatives.
 */
function compile(frame: string): RegExp {
  const source = frame
    .replaceAll('(', '(?:')
    .replaceAll(/\s*\{x\?\}/g, `(?:\\s+(?<x>${something}))?`)
    .replaceAll('{x}', `(?<x>${something})`)
    .replaceAll('{n}', `(?<n>${number})`)
    .replaceAll(/(?<=[^ ]) (?=[^ ])/g, '\\s+');
  return new RegExp(`(?<![\\p{L}\\p{M}\\p{N}'])${source}(?![\\p{L}\\p{M}\\p{N}])`, 'u');
}
