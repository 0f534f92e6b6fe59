export { createEndpoints, type Endpoints } from './endpoints.ts';
export { webhookOperations } from './operations.ts';
export type { ReplayPosition } from './ports.ts';
export { newEndpoint } from './request.ts';
export { webhookRouter } from './router.ts';
export { createSend } from './send.ts';
export { startSender } from './sender.ts';
export { presentDelivery, presentEndpoint } from './views.ts';
