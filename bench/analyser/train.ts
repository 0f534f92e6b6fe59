/**
 * Trains the emotion model and writes its weights.
 * Run: node bench/analyser/train.ts [--check]   (--check: fails unless the weights come out as they are, to the bit)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readExamples } from './examples.ts';
import { trainModel } from './train-model.ts';

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const file = new URL('../../src/score/friendship/emotion/weights.json', import.meta.url);
const began = performance.now();
const text = `${JSON.stringify(trainModel(readExamples()), null, 2)}\n`;
const seconds = ((performance.now() - began) / 1_000).toFixed(0);
if (!values.check) {
  writeFileSync(file, text);
  console.log(`trained in ${seconds} s; ${text.length} bytes in ${file.pathname}`);
} else if (readFileSync(file, 'utf8') === text) {
  console.log(`the weights are what the training gives (${seconds} s)`);
} else {
  console.log('the weights are not what the training gives: run node bench/analyser/train.ts, and raise the version');
  process.exitCode = 1;
}
