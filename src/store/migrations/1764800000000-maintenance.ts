import type { MigrationInterface, QueryRunner } from 'typeorm';
import { hasIndex } from './alter-quickly.ts';
import { idCollation } from './id-collation.ts';

/**
 * Runs of the maintenance jobs; what removed events came to, per user and topic (the empty topic stands for the whole
 * user); and hashes of the ids of events and sessions whose user was erased while they were under way.
 */
export class Maintenance1764800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const ids = await idCollation(runner);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS maintenance_runs (
        run_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        job VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        due_at DATETIME(3) NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        runner VARCHAR(255) NOT NULL,
        started_at DATETIME(3) NOT NULL,
        ended_at DATETIME(3) NULL,
        removed BIGINT UNSIGNED NOT NULL DEFAULT 0,
        detail VARCHAR(1000) NULL,
        PRIMARY KEY (run_id),
        KEY ix_maintenance_runs_job (job, run_id),
        CONSTRAINT ck_maintenance_runs_state CHECK (state IN ('new', 'running', 'done', 'failed', 'lost'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS friendship_ledger (
        user_id VARCHAR(255) COLLATE ${ids} NOT NULL,
        topic_id VARCHAR(255) COLLATE ${ids} NOT NULL,
        events BIGINT UNSIGNED NOT NULL,
        change_sum BIGINT NOT NULL,
        gain_sum BIGINT NOT NULL,
        score BIGINT NOT NULL,
        in_order TINYINT UNSIGNED NOT NULL,
        turns BIGINT NULL,
        last_end DATETIME(3) NOT NULL,
        last_processed_at DATETIME(3) NOT NULL,
        PRIMARY KEY (user_id, topic_id)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS erased_ids (
        id_hash BINARY(32) NOT NULL,
        erased_at DATETIME(3) NOT NULL,
        PRIMARY KEY (id_hash)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    if (await hasIndex(runner, 'webhook_deliveries', 'ix_webhook_deliveries_event')) return;
    await runner.query(
      `ALTER TABLE webhook_deliveries ADD KEY ix_webhook_deliveries_event (event_id), ALGORITHM=INPLACE, LOCK=NONE`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE webhook_deliveries DROP KEY ix_webhook_deliveries_event');
    for (const table of ['erased_ids', 'friendship_ledger', 'maintenance_runs'])
      await runner.query(`DROP TABLE ${table}`);
  }
}
