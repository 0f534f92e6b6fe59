export { type Acceptor, createAcceptor } from './accept.ts';
export { acceptRouter } from './router.ts';
