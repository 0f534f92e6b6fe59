export { type Analyse, createAnalyse } from './analyse.ts';
export { memoryService } from './memories.ts';
export { openAi } from './openai.ts';
export type { Analyser } from './ports.ts';
