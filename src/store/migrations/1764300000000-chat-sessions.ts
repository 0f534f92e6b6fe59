import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Sessions while their conversation runs, and their messages. */
export class ChatSessions1764300000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS chat_sessions (
        session_id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        user_id VARCHAR(255) NOT NULL,
        bot_type VARCHAR(50) NOT NULL,
        bot_id VARCHAR(255) NOT NULL,
        bot_name VARCHAR(255) NOT NULL,
        agent_tag VARCHAR(255) NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'open',
        started_at DATETIME(3) NOT NULL,
        active_at DATETIME(3) NOT NULL,
        changed_at DATETIME(3) NOT NULL,
        message_count INT UNSIGNED NOT NULL DEFAULT 0,
        question_count INT UNSIGNED NOT NULL DEFAULT 0,
        last_position INT UNSIGNED NOT NULL DEFAULT 0,
        text_bytes INT UNSIGNED NOT NULL DEFAULT 0,
        sync_token BIGINT UNSIGNED NOT NULL DEFAULT 0,
        detached_at DATETIME(3) NULL,
        end_request MEDIUMTEXT NULL,
        event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
        PRIMARY KEY (session_id),
        KEY ix_chat_sessions_state (state, active_at),
        KEY ix_chat_sessions_user (user_id),
        KEY ix_chat_sessions_detached (detached_at),
        CONSTRAINT ck_chat_sessions_state CHECK (state IN ('open', 'ending', 'ended')),
        CONSTRAINT ck_chat_sessions_end CHECK ((state = 'open') = (end_request IS NULL)),
        CONSTRAINT ck_chat_sessions_event CHECK ((state = 'ended') = (event_id IS NOT NULL))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS chat_messages (
        session_id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        position INT UNSIGNED NOT NULL,
        message_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        role VARCHAR(4) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        sent_at DATETIME(3) NOT NULL,
        text MEDIUMTEXT NOT NULL,
        PRIMARY KEY (session_id, position),
        UNIQUE KEY uq_chat_messages_message (session_id, message_id),
        CONSTRAINT ck_chat_messages_role CHECK (role IN ('user', 'bot'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE chat_messages');
    await runner.query('DROP TABLE chat_sessions');
  }
}
