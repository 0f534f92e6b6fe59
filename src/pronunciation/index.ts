export { createAssess } from './assess.ts';
export { createEnrich } from './enrich.ts';
export { createPhonemes, type Phonemes } from './phonemes/cache.ts';
export { espeak } from './phonemes/espeak.ts';
export { phonemeService } from './phonemes/service.ts';
