export { createEndpoints, type Endpoints, mostReplayed } from './endpoints.ts';
export { webhookOperations } from './operations.ts';
export { newEndpoint } from './request.ts';
export { webhookRouter } from './router.ts';
export { createSend } from './send.ts';
export { startSender } from './sender.ts';
export { presentDelivery, presentEndpoint } from './views.ts';
