import type { MigrationInterface, QueryRunner } from 'typeorm';
import { idCollation } from './id-collation.ts';

export class ConversationEvents1763700000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const id = await idCollation(runner);
    // `published_at`: when the broker last confirmed the event, if that publication still counts; else its default. Not
    // NULL, so that marks update rows in place. One statement, with IF NOT EXISTS: MySQL commits DDL at once, so a
    // process that dies before the migration is recorded leaves the table behind, and the next run must skip it.
    await runner.query(`
      CREATE TABLE IF NOT EXISTS conversation_events (
        event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        conversation_id VARCHAR(255) COLLATE ${id} NOT NULL,
        user_id VARCHAR(255) COLLATE ${id} NOT NULL,
        bot_type VARCHAR(50) NOT NULL,
        bot_id VARCHAR(255) NOT NULL,
        bot_name VARCHAR(255) NOT NULL,
        agent_tag VARCHAR(255) COLLATE ${id} NULL,
        start_time DATETIME(3) NOT NULL,
        end_time DATETIME(3) NOT NULL,
        duration_seconds BIGINT GENERATED ALWAYS AS (TIMESTAMPDIFF(SECOND, start_time, end_time)) VIRTUAL,
        request_digest BINARY(32) NOT NULL,
        status VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        attempt_count SMALLINT UNSIGNED NOT NULL DEFAULT 0,
        suspect_starts SMALLINT UNSIGNED NOT NULL DEFAULT 0,
        next_attempt_at DATETIME(3) NULL,
        published_at DATETIME(3) NOT NULL DEFAULT '1000-01-01',
        attempt_started_at DATETIME(3) NULL,
        worker VARCHAR(100) NULL,
        created_at DATETIME(3) NOT NULL,
        processed_at DATETIME(3) NULL,
        error_code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        error_details VARCHAR(1000) NULL,
        friendship_score_change DECIMAL(18,4) NULL,
        new_friendship_level VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
        score_calculation_details JSON NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (event_id),
        UNIQUE KEY uq_conversation_events_conversation_id (conversation_id),
        KEY ix_conversation_events_due (next_attempt_at),
        KEY ix_conversation_events_user (user_id, event_id),
        KEY ix_conversation_events_status (status, event_id),
        CONSTRAINT ck_conversation_events_status CHECK (
          status IN ('PENDING', 'PROCESSING', 'PROCESSED', 'FAILED', 'SKIPPED')),
        CONSTRAINT ck_conversation_events_open_is_due CHECK (
          (status IN ('PENDING', 'PROCESSING')) = (next_attempt_at IS NOT NULL)),
        CONSTRAINT ck_conversation_events_processed CHECK (
          status <> 'PROCESSED'
          OR (friendship_score_change IS NOT NULL AND new_friendship_level IS NOT NULL AND processed_at IS NOT NULL
          AND error_code IS NULL)
        ),
        CONSTRAINT ck_conversation_events_failed CHECK (status <> 'FAILED' OR error_code IS NOT NULL),
        CONSTRAINT ck_conversation_events_times CHECK (end_time > start_time)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE conversation_events');
  }
}
