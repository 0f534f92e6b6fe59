export { type Consumer, createConsumer } from './consumer.ts';
export { type DeadLetter, type DeadLetters, openDeadLetters } from './dead-letters.ts';
export { inspectBroker } from './inspect.ts';
export type { LaneSlots } from './lanes/lane-consumers.ts';
export { createOwnQueue, type OwnQueue } from './own-queue.ts';
export { createPublisher, type Publisher } from './publisher.ts';
export { topologyNames } from './topology.ts';
