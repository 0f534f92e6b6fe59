export { type Consumer, createConsumer, type Delivery } from './consumer.ts';
export { type DeadLetter, type DeadLetters, openDeadLetters } from './dead-letters.ts';
export { inspectBroker } from './inspect.ts';
export { createPublisher, type Publisher } from './publisher.ts';
export { removeTopology } from './remove.ts';
export { type TopologyOptions, topologyNames } from './topology.ts';
