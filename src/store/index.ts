export { countStart, findStarts, markProcessing, uncountStart } from './attempts.ts';
export { countStatus, endOfUserPage, failedPage, findOddEvents, processedTimes, readUserPage, stillFailed, usersSince } from './audit.ts';
export {
  type EventRow,
  type FriendshipRow,
  findClosed,
  findEvent,
  findFriendship,
  listEvents,
  maxConnections,
  ping,
  type TopicRow,
} from './events.ts';
export { insertEvents } from './insert-events.ts';
export { inspectDatabase } from './inspect.ts';
export { migrate, needsMigration } from './migrate.ts';
export { openStore, type Store } from './open-store.ts';
export { makeDue, republishOpen, retryEvent, retryFailed, skipEvent } from './operate.ts';
export { claimDue, loadOutboxEvent, makeLostDue, markConfirmed } from './outbox.ts';
export { createScratchDatabase, type ScratchDatabase } from './scratch.ts';
export { settleTransaction } from './settle-transaction.ts';
