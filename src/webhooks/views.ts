import type { Delivery, Endpoint } from './ports.ts';

export function presentEndpoint(endpoint: Endpoint) {
  return {
    endpoint_id: endpoint.endpointId,
    url: endpoint.url,
    description: endpoint.description,
    types: endpoint.types,
    user: endpoint.boundTo,
    state: endpoint.state,
    disabled_why: endpoint.disabledWhy,
    failing_since: endpoint.failingSince,
    created_at: endpoint.createdAt,
  };
}

export function presentDelivery(delivery: Delivery) {
  return {
    delivery_id: delivery.deliveryId,
    event_id: delivery.eventId,
    type: delivery.type,
    state: delivery.state,
    attempt_count: delivery.attemptCount,
    next_attempt_at: delivery.nextAttemptAt,
    attempts: delivery.attempts,
    created_at: delivery.createdAt,
    closed_at: delivery.closedAt,
  };
}
