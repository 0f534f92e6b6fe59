export { encodeMessage } from './encode-message.ts';
export { createOutbox, type Outbox } from './outbox.ts';
