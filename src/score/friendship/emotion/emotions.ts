export const emotions = ['interesting', 'boring', 'neutral', 'angry', 'happy', 'sad'] as const;
export type Emotion = (typeof emotions)[number];
