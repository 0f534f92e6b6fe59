export { gateRouter } from './gate.ts';
export { type Keyring, openKeyring } from './keyring.ts';
export { createLimits, type Limits } from './limits.ts';
export { fingerprintOf, hashToken, newToken } from './token.ts';
