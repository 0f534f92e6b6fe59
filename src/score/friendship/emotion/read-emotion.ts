import type { Turn } from '../../../event/conversation.ts';
import type { Emotion } from './emotions.ts';
import { tokensOf } from './features.ts';
import { judgeByRules, readSignals } from './judge-by-rules.ts';
import { createModel, type EmotionModel, type Judgement, type Weights } from './model.ts';
import weights from './weights.json' with { type: 'json' };

export type EmotionReading = {
  readonly emotion: Emotion;
  readonly by: 'model' | 'rules' | 'analyser' | 'caller';
  /** The model's probability of it; only a model has one. */
  readonly confidence: number | null;
  readonly weights: Judgement['weights'];
};

/** Nobody labelled the conversations it learnt from with these, so it cannot find them. */
const onlyRulesFind: ReadonlySet<Emotion> = new Set(['angry', 'sad', 'boring']);

/**
 * Reads the mood of a conversation: by the model where people said enough in English, by the rules otherwise, and
 * wherever they find what the model cannot know. `questions`: items of the user that ask something.
 */
export function createReader(model: EmotionModel): (log: readonly Turn[], questions: number) => EmotionReading {
  return (log, questions) => {
    const byRules = judgeByRules(readSignals(log, questions));
    const judgement = onlyRulesFind.has(byRules)
      ? null
      : model.judge(log.filter((turn) => turn.speaker === 'user').map((turn) => tokensOf(turn.text)));
    if (judgement === null) return { emotion: byRules, by: 'rules', confidence: null, weights: [] };
    return { ...judgement, by: 'model' };
  };
}

export const readEmotion = createReader(createModel(weights satisfies Weights));
