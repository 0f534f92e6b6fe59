/** What others can be told of, when an event is closed. */
export const noticeTypes = ['conversation.processed', 'conversation.failed', 'friendship.level_changed'] as const;
export type NoticeType = (typeof noticeTypes)[number];
