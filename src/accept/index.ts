export { type Acceptor, createAcceptor } from './accept.ts';
export { maxBatches } from './batch.ts';
export { accepted, acceptedHeaders, acceptOperations } from './operations.ts';
export { parseConversationRequest, toConversation } from './request.ts';
export { acceptRouter } from './router.ts';
export { createTake, type SessionEnd } from './take.ts';
