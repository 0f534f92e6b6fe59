import type { MigrationInterface, QueryRunner } from 'typeorm';
import { idCollation } from './id-collation.ts';

/**
 * Runs of `afterword rescore`; what a new scorer says of old events; and what the results were that it replaced. Not
 * referring to the events: whoever removes those removes these in the same transaction.
 */
export class Rescores1764900000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const ids = await idCollation(runner);
    const eventId = 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin';
    await runner.query(`
      CREATE TABLE IF NOT EXISTS rescores (
        rescore_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        scorer VARCHAR(1000) NOT NULL,
        actor VARCHAR(255) NOT NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        undoes BIGINT UNSIGNED NULL,
        first_id ${eventId} NOT NULL,
        next_id ${eventId} NOT NULL,
        most BIGINT UNSIGNED NULL,
        looked_at BIGINT UNSIGNED NOT NULL DEFAULT 0,
        unchanged BIGINT UNSIGNED NOT NULL DEFAULT 0,
        without_text BIGINT UNSIGNED NOT NULL DEFAULT 0,
        started_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (rescore_id),
        CONSTRAINT ck_rescores_state CHECK (state IN ('scoring', 'scored', 'applying', 'applied'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS rescored_events (
        rescore_id BIGINT UNSIGNED NOT NULL,
        event_id ${eventId} NOT NULL,
        user_id VARCHAR(255) COLLATE ${ids} NOT NULL,
        change_before DECIMAL(18,4) NOT NULL,
        change_after DECIMAL(18,4) NULL,
        details JSON NULL,
        error_code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
        applied_at DATETIME(3) NULL,
        PRIMARY KEY (rescore_id, event_id),
        KEY ix_rescored_events_run (rescore_id, user_id),
        KEY ix_rescored_events_event (event_id),
        KEY ix_rescored_events_user (user_id),
        CONSTRAINT ck_rescored_events_result CHECK ((change_after IS NULL) = (error_code IS NOT NULL))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS score_history (
        event_id ${eventId} NOT NULL,
        rescore_id BIGINT UNSIGNED NOT NULL,
        user_id VARCHAR(255) COLLATE ${ids} NOT NULL,
        friendship_score_change DECIMAL(18,4) NOT NULL,
        new_friendship_level VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        score_calculation_details JSON NULL,
        replaced_at DATETIME(3) NOT NULL,
        PRIMARY KEY (event_id, rescore_id),
        KEY ix_score_history_run (rescore_id, event_id),
        KEY ix_score_history_user (user_id)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['score_history', 'rescored_events', 'rescores']) await runner.query(`DROP TABLE ${table}`);
  }
}
