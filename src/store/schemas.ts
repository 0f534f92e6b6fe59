import { EntitySchema } from 'typeorm';
import type { EventStatus } from '../event/event.ts';
import type { FriendshipLevel } from '../event/friendship.ts';

export type EventRow = {
  event_id: string;
  conversation_id: string;
  user_id: string;
  bot_type: string;
  bot_id: string;
  bot_name: string;
  agent_tag: string | null;
  start_time: Date;
  end_time: Date;
  duration_seconds: string;
  conversation_log: string;
  metadata: unknown;
  request_digest: Buffer;
  status: EventStatus;
  attempt_count: number;
  suspect_starts: number;
  next_attempt_at: Date | null;
  attempt_started_at: Date | null;
  worker: string | null;
  created_at: Date;
  processed_at: Date | null;
  error_code: string | null;
  error_details: string | null;
  friendship_score_change: number | null;
  new_friendship_level: FriendshipLevel | null;
  score_calculation_details: unknown;
  updated_at: Date;
};

export type FriendshipRow = {
  user_id: string;
  friendship_score: number;
  friendship_level: FriendshipLevel;
  streak_day: number;
  last_interaction_date: Date | null;
  updated_at: Date;
};

export type TopicRow = {
  user_id: string;
  topic_id: string;
  score: number;
  turns: number;
  level: FriendshipLevel;
  last_date: Date;
};

const moment = { type: 'datetime', precision: 3 } as const;
const score = { type: 'decimal', precision: 18, scale: 4 } as const;

/** Mirrors the migrations (a test compares both). The log is only read when asked for: it is the bulk of a row. */
export const EventSchema = new EntitySchema<EventRow>({
  name: 'ConversationEvent',
  tableName: 'conversation_events',
  columns: {
    event_id: { type: 'char', length: 36, primary: true },
    conversation_id: { type: 'varchar', length: 255 },
    user_id: { type: 'varchar', length: 255 },
    bot_type: { type: 'varchar', length: 50 },
    bot_id: { type: 'varchar', length: 255 },
    bot_name: { type: 'varchar', length: 255 },
    agent_tag: { type: 'varchar', length: 255, nullable: true },
    start_time: moment,
    end_time: moment,
    duration_seconds: {
      type: 'bigint',
      generatedType: 'VIRTUAL',
      asExpression: 'timestampdiff(SECOND,start_time,end_time)',
      nullable: true,
      insert: false,
      update: false,
    },
    conversation_log: { type: 'mediumtext', select: false },
    metadata: { type: 'json', nullable: true },
    request_digest: { type: 'binary', length: 32, select: false },
    status: { type: 'varchar', length: 10 },
    attempt_count: { type: 'smallint', unsigned: true, default: 0 },
    suspect_starts: { type: 'smallint', unsigned: true, default: 0 },
    next_attempt_at: { ...moment, nullable: true },
    attempt_started_at: { ...moment, nullable: true },
    worker: { type: 'varchar', length: 100, nullable: true },
    created_at: moment,
    processed_at: { ...moment, nullable: true },
    error_code: { type: 'varchar', length: 64, nullable: true },
    error_details: { type: 'varchar', length: 1000, nullable: true },
    friendship_score_change: { ...score, nullable: true },
    new_friendship_level: { type: 'varchar', length: 32, nullable: true },
    score_calculation_details: { type: 'json', nullable: true },
    updated_at: moment,
  },
});

export const FriendshipSchema = new EntitySchema<FriendshipRow>({
  name: 'FriendshipStatus',
  tableName: 'friendship_status',
  columns: {
    user_id: { type: 'varchar', length: 255, primary: true },
    friendship_score: { ...score, default: 0 },
    friendship_level: { type: 'varchar', length: 32, default: 'PHASE1_STRANGER' },
    streak_day: { type: 'int', unsigned: true, default: 0 },
    last_interaction_date: { ...moment, nullable: true },
    updated_at: moment,
  },
});

export const TopicSchema = new EntitySchema<TopicRow>({
  name: 'FriendshipTopicMetrics',
  tableName: 'friendship_topic_metrics',
  columns: {
    user_id: { type: 'varchar', length: 255, primary: true },
    topic_id: { type: 'varchar', length: 255, primary: true },
    score: { ...score, default: 0 },
    turns: { type: 'int', unsigned: true, default: 0 },
    level: { type: 'varchar', length: 32, default: 'PHASE1_STRANGER' },
    last_date: moment,
  },
});

export const schemas = [EventSchema, FriendshipSchema, TopicSchema];
