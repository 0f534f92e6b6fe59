export { listActions, noteAction } from './actions.ts';
export { createKey, listKeys, markKeysUsed, readKeyChanges, revokeKeys, rotateKey } from './api-keys.ts';
export { applyRescore } from './apply-rescore.ts';
export { countStart, markProcessing, uncountStart } from './attempts.ts';
export {
  countStatus,
  endOfUserPage,
  failedPage,
  findOddEvents,
  processedTimes,
  readUserPage,
  stillFailed,
  usersSince,
} from './audit.ts';
export { readSessionPage } from './chat-sessions/audit-sessions.ts';
export { listSessions } from './chat-sessions/list-sessions.ts';
export { storedSessions } from './chat-sessions/stored-sessions.ts';
export { act, everyWorker, listControls, readControls } from './controls.ts';
export { erasedAt, userEraser } from './erase-user.ts';
export {
  exportEvents,
  findClosed,
  findEvent,
  findEvents,
  findFriendship,
  findText,
  findTexts,
  glance,
  listEvents,
  maxConnections,
} from './events.ts';
export { readClosed, readNewestClosed } from './feed.ts';
export { insertEvents } from './insert-events.ts';
export { inspectDatabase } from './inspect.ts';
export { leaderLock } from './leader-lock.ts';
export { loadEvents } from './load-events.ts';
export { addMonths, dropMonths } from './log-months.ts';
export { listRuns, maintenanceRuns } from './maintenance-runs.ts';
export { joinFleet, listMembers, readAsked, sendHeartbeat, workerName } from './members.ts';
export { migrate, needsMigration } from './migrate.ts';
export { openStore, type Store } from './open-store.ts';
export { makeDue, republishOpen, retryEvent, retryFailed, skipEvent } from './operate.ts';
export { claimDue, extendDue, makeLostDue, markConfirmed, postpone } from './outbox.ts';
export { missingRight, probeRemoval, probeWrites } from './probe-writes.ts';
export {
  askForProfile,
  claimProfileRequest,
  dropProfile,
  readProfile,
  storeProfile,
} from './profiles.ts';
export { rebuildUser, usersAfter } from './rebuild-user.ts';
export { removeEvents } from './remove-events.ts';
export {
  removeErasedIds,
  removeFeedLines,
  removeRescored,
  removeRuns,
  removeSessions,
  removeTexts,
} from './remove-old.ts';
export { beatForReplicas, readBeat } from './replica-beats.ts';
export {
  createRescore,
  createUndo,
  findingsOf,
  findRescore,
  keepRescored,
  listRescores,
  readOldEvents,
  setRescoreState,
  usersToApply,
} from './rescores.ts';
export { createScratchDatabase, type ScratchDatabase } from './scratch.ts';
export { settleTransaction } from './settle-transaction.ts';
export { claimDeliveries, findDueEndpoints, recordAttempt, returnDelivery } from './webhook-deliveries.ts';
export { endpointStore } from './webhook-endpoints.ts';
export { hasEndpoints } from './webhook-notices.ts';
