export { createAcceptor } from './accept.ts';
export { parseConversationRequest, toConversation } from './request.ts';
export { acceptRouter } from './router.ts';
