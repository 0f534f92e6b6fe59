import type { MigrationInterface, QueryRunner } from 'typeorm';

export class FleetMembers1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS fleet_members (
        member_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        role VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        name VARCHAR(100) NOT NULL,
        host VARCHAR(255) NOT NULL,
        pid INT UNSIGNED NOT NULL,
        version VARCHAR(50) NOT NULL,
        scorer VARCHAR(255) NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        started_at DATETIME(3) NOT NULL,
        seen_at DATETIME(3) NOT NULL,
        concurrency SMALLINT UNSIGNED NULL,
        in_flight SMALLINT UNSIGNED NULL,
        threads SMALLINT UNSIGNED NULL,
        busy_threads SMALLINT UNSIGNED NULL,
        processed BIGINT UNSIGNED NULL,
        cpu_percent DECIMAL(7,1) NOT NULL,
        rss_bytes BIGINT UNSIGNED NOT NULL,
        PRIMARY KEY (member_id),
        CONSTRAINT ck_fleet_members_state CHECK (state IN ('starting', 'running', 'paused', 'draining', 'stopped'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fleet_members');
  }
}
