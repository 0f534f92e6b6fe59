import type { MigrationInterface, QueryRunner } from 'typeorm';
import { idCollation } from './id-collation.ts';

export class Webhooks1764500000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const ids = await idCollation(runner);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS webhook_endpoints (
        endpoint_id CHAR(15) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        url VARCHAR(2000) NOT NULL,
        description VARCHAR(255) NULL,
        types VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        bound_to VARCHAR(256) COLLATE ${ids} NULL,
        secret VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        old_secret VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NULL,
        old_secret_until DATETIME(3) NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        disabled_why VARCHAR(255) NULL,
        failing_since DATETIME(3) NULL,
        created_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (endpoint_id),
        CONSTRAINT ck_webhook_endpoints_state CHECK (state IN ('enabled', 'disabled', 'deleted'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS webhook_deliveries (
        delivery_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        endpoint_id CHAR(15) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        type VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        detail VARCHAR(255) NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        attempt_count SMALLINT UNSIGNED NOT NULL DEFAULT 0,
        next_attempt_at DATETIME(3) NULL,
        attempts TEXT NULL,
        created_at DATETIME(3) NOT NULL,
        closed_at DATETIME(3) NULL,
        PRIMARY KEY (delivery_id),
        KEY ix_webhook_deliveries_due (endpoint_id, next_attempt_at),
        KEY ix_webhook_deliveries_state (endpoint_id, state, delivery_id),
        KEY ix_webhook_deliveries_list (endpoint_id, delivery_id),
        CONSTRAINT ck_webhook_deliveries_state CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE webhook_deliveries');
    await runner.query('DROP TABLE webhook_endpoints');
  }
}
