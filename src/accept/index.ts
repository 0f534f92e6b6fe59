export { type Acceptor, createAcceptor } from './accept.ts';
export { parseConversationRequest, toConversation } from './request.ts';
export { acceptRouter } from './router.ts';
