/** One slot of a cluster: what is true of all sessions changes in one step. */
export const index = {
  dirty: '{sessions}:dirty',
  leased: '{sessions}:leased',
  tokens: '{sessions}:tokens',
  fence: '{sessions}:fence',
  bytes: '{sessions}:bytes',
  sweep: '{sessions}:sweep',
} as const;

/** The id in braces keeps a session in one slot. */
export const prefix = (sessionId: string) => `session:{${sessionId}}:`;
export const messagePrefix = (sessionId: string) => `${prefix(sessionId)}msg:`;
export const keysOf = (sessionId: string) =>
  ['meta', 'count', 'history', 'pending_msgs'].map((name) => prefix(sessionId) + name);
