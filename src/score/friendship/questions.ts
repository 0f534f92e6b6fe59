import type { Turn } from '../../event/conversation.ts';
import lexicon from './lexicon/questions.json' with { type: 'json' };
import { phraseMatcher, plain, words } from './text.ts';

const opener = phraseMatcher(lexicon.openers);
const notQuestion = phraseMatcher(lexicon.notQuestions);
const vietnamese = phraseMatcher(lexicon.vietnamese);
const vietnameseNot = phraseMatcher(lexicon.vietnameseNotQuestions);
const vietnameseFinal = new Set(lexicon.vietnameseFinal);
const clarifications = new Set(lexicon.clarifications);
const clauseEnd = /(?<=[.!?;…])\s+|\n+|,\s+(?=(?:but|so|and|what|how|why|do|are|còn|thế|vậy)\s)/u;

/** A short answer with a rising tone ("a cat?") has at most this many words. */
const guessWords = 4;

/** Counts the user items that ask something on the user's initiative. An item counts once; in doubt, not at all. */
export function countUserQuestions(log: readonly Turn[]): number {
  let count = 0;
  for (const [i, turn] of log.entries()) {
    if (turn.speaker === 'user' && asks(turn.text, previousBotText(log, i))) count++;
  }
  return count;
}

/**
 * True if the user's text contains a question that is not just an answer to the bot's previous item. Not counted:
 * requests to repeat ("huh?"), echoes of the bot's words ("dogs?"), and guesses in answer to the bot's question ("a
 * cat?").
 */
export function asks(userText: string, botText: string): boolean {
  const bot = plain(botText);
  const heard = new Set(words(bot));
  return plain(userText)
    .split(clauseEnd)
    .some((clause) => isQuestion(clause.trim(), { heard, asked: bot.includes('?') }));
}

/** What the bot said before: its words, and whether it asked. */
type BotItem = { readonly heard: ReadonlySet<string>; readonly asked: boolean };

function isQuestion(clause: string, bot: BotItem): boolean {
  const spoken = words(clause);
  if (spoken.length === 0 || clarifications.has(spoken.join(' '))) return false;
  const interrogative = hasInterrogativeForm(clause, spoken);
  if (!clause.includes('?')) return interrogative;
  if (interrogative) return true;
  const echo = spoken.every((w) => bot.heard.has(w));
  const guess = bot.asked && spoken.length <= guessWords && !isReturnQuestion(clause);
  return !echo && !guess;
}

/** "And you?", "còn bạn?": short, but still a question. */
const returnQuestion = phraseMatcher(['you', 'yourself', 'yours', 'bạn', 'cậu', 'pika']);
function isReturnQuestion(clause: string): boolean {
  return clause.search(returnQuestion) >= 0;
}

function hasInterrogativeForm(clause: string, spoken: readonly string[]): boolean {
  if (startsWithOpener(clause, spoken)) return true;
  if (clause.search(vietnameseNot) >= 0) return false;
  if (clause.search(vietnamese) >= 0) return true;
  // A final particle makes a Vietnamese clause a question; on its own it may be an answer ("không").
  return spoken.length >= 3 && isVietnamese(clause) && vietnameseFinal.has(spoken.at(-1) ?? '');
}

/**
 * An English question starts with its interrogative words, after at most two of "so", "and", "well" and the like. "I
 * wonder how …" and "I know what …" are statements.
 */
function startsWithOpener(clause: string, spoken: readonly string[]): boolean {
  const at = clause.search(opener);
  if (at < 0 || clause.search(notQuestion) === at) return false;
  const before = words(clause.slice(0, at));
  if (before.length > 2 || before.includes('i')) return false;
  return clause.includes('?') || startsLikeQuestion(spoken, before.length);
}

/** Without a question mark, only an unmistakable beginning counts: "do you like …", "what is …". */
const plainStarts = [
  /^(?:do|did|are|can|could|will|would|have) (?:you|we|they|i)\b/,
  /^(?:what|who|where|why|how) (?:is|are|was|were|do|does|did|can|about|many|much|old|come|long)\b/,
];
function startsLikeQuestion(spoken: readonly string[], lead: number): boolean {
  const texts = [spoken.slice(lead).join(' '), spoken.join(' ')];
  return plainStarts.some((start) => texts.some((text) => start.test(text)));
}

const vietnameseLetter = /[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]/u;
function isVietnamese(plainText: string): boolean {
  return vietnameseLetter.test(plainText);
}

function previousBotText(log: readonly Turn[], index: number): string {
  const before = log[index - 1];
  return before?.speaker === 'pika' ? before.text : '';
}
