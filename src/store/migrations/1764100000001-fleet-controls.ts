import type { MigrationInterface, QueryRunner } from 'typeorm';

export class FleetControls1764100000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS fleet_controls (
        target VARCHAR(255) NOT NULL,
        paused TINYINT UNSIGNED NOT NULL DEFAULT 0,
        concurrency SMALLINT UNSIGNED NULL,
        drained_at DATETIME(3) NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (target)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fleet_controls');
  }
}
