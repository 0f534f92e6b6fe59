export { type Acceptor, createAcceptor } from './accept.ts';
export { parseConversationRequest, toConversation } from './request.ts';
export { acceptRouter, type SessionEnd } from './router.ts';
