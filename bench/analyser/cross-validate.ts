/**
 * How well the emotion is read in conversations that the model was not trained on: five folds, divided by conversation.
 * Run: node bench/analyser/cross-validate.ts
 */
import { tokensOf } from '../../src/score/friendship/emotion/features.ts';
import { judgeByRules, readSignals } from '../../src/score/friendship/emotion/judge-by-rules.ts';
import { createModel } from '../../src/score/friendship/emotion/model.ts';
import { createReader } from '../../src/score/friendship/emotion/read-emotion.ts';
import { countUserQuestions } from '../../src/score/friendship/questions.ts';
import { readExamples } from './examples.ts';
import { accuracy, majority, printMeasures, type Verdict } from './measures.ts';
import { trainModel } from './train-model.ts';

const folds = 5;
const examples = readExamples();
const ids = [...new Set(examples.map(({ id }) => id))];
const foldOf = new Map(ids.map((id, i) => [id, i % folds]));
const byRules: Verdict[] = [];
const byModel: Verdict[] = [];
const asScored: (Verdict & { confidence: number | null })[] = [];

for (let fold = 0; fold < folds; fold++) {
  const model = createModel(trainModel(examples.filter(({ id }) => foldOf.get(id) !== fold)));
  const read = createReader(model);
  for (const { id, log, gold } of examples.filter((e) => foldOf.get(e.id) === fold)) {
    const questions = countUserQuestions(log);
    const texts = log.filter((turn) => turn.speaker === 'user').map((turn) => tokensOf(turn.text));
    const rules = judgeByRules(readSignals(log, questions));
    byRules.push({ id, gold, said: rules });
    byModel.push({ id, gold, said: model.judge(texts)?.emotion ?? rules });
    const { emotion, confidence } = read(log, questions);
    asScored.push({ id, gold, said: emotion, confidence });
  }
}

printMeasures('always "interesting"', majority(byRules));
printMeasures('the rules alone', byRules);
printMeasures('the model alone', byModel);
printMeasures('as scored: the model, and rules for what it cannot know', asScored);
for (const [from, to] of [
  [0, 0.6],
  [0.6, 0.8],
  [0.8, 1],
] as const) {
  const those = asScored.filter(({ confidence }) => confidence !== null && confidence > from && confidence <= to);
  console.log(
    `confidence ${from} to ${to}: right ${(100 * accuracy(those)).toFixed(1)} % of ${those.length}, ` +
      `mean confidence ${(those.reduce((sum, v) => sum + (v.confidence ?? 0), 0) / those.length).toFixed(2)}`,
  );
}
console.log(
  `read by the rules: ${asScored.filter(({ confidence }) => confidence === null).length} of ${asScored.length}`,
);
