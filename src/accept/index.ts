export { type Acceptor, createAcceptor } from './accept.ts';
export { type ConversationRequest, parseConversationRequest } from './request.ts';
export { acceptRouter } from './router.ts';
