export { type Consumer, createConsumer, type Delivery } from './consumer.ts';
export { createPublisher, type Publisher } from './publisher.ts';
export { type TopologyOptions, topologyNames } from './topology.ts';
