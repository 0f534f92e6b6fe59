import { ConversationEvents1763700000000 } from './1763700000000-conversation-events.ts';
import { FriendshipStatus1763700000001 } from './1763700000001-friendship-status.ts';
import { FriendshipTopicMetrics1763700000002 } from './1763700000002-friendship-topic-metrics.ts';
import { ConversationLogs1763700000003 } from './1763700000003-conversation-logs.ts';
import { FleetMembers1764100000000 } from './1764100000000-fleet-members.ts';
import { FleetControls1764100000001 } from './1764100000001-fleet-controls.ts';
import { OperatorActions1764100000002 } from './1764100000002-operator-actions.ts';
import { EventTraces1764200000000 } from './1764200000000-event-traces.ts';
import { FleetProfiles1764200000001 } from './1764200000001-fleet-profiles.ts';
import { MembersAsked1764200000002 } from './1764200000002-members-asked.ts';
import { ChatSessions1764300000000 } from './1764300000000-chat-sessions.ts';
import { ApiKeys1764500000000 } from './1764500000000-api-keys.ts';
import { ClosedEvents1764500000001 } from './1764500000001-closed-events.ts';
import { Webhooks1764500000002 } from './1764500000002-webhooks.ts';
import { WebhookOldSecrets1764600000000 } from './1764600000000-webhook-old-secrets.ts';
import { WebhookDeliveriesCreated1764600000001 } from './1764600000001-webhook-deliveries-created.ts';
import { EventLanes1764700000000 } from './1764700000000-event-lanes.ts';
import { Maintenance1764800000000 } from './1764800000000-maintenance.ts';
import { LogMonths1764800000001 } from './1764800000001-log-months.ts';
import { Rescores1764900000000 } from './1764900000000-rescores.ts';
import { ReplicaBeats1764900000001 } from './1764900000001-replica-beats.ts';

export const migrationsTableName = 'afterword_migrations';

/** In the order they run. Never edited after release; a change is a new migration. */
export const migrations = [
  ConversationEvents1763700000000,
  FriendshipStatus1763700000001,
  FriendshipTopicMetrics1763700000002,
  ConversationLogs1763700000003,
  FleetMembers1764100000000,
  FleetControls1764100000001,
  OperatorActions1764100000002,
  EventTraces1764200000000,
  FleetProfiles1764200000001,
  MembersAsked1764200000002,
  ChatSessions1764300000000,
  ApiKeys1764500000000,
  ClosedEvents1764500000001,
  Webhooks1764500000002,
  WebhookOldSecrets1764600000000,
  WebhookDeliveriesCreated1764600000001,
  EventLanes1764700000000,
  Maintenance1764800000000,
  LogMonths1764800000001,
  Rescores1764900000000,
  ReplicaBeats1764900000001,
];
