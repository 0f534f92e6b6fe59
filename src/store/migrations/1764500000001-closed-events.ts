import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A line for each time that an event was closed, in the order in which that was written. */
export class ClosedEvents1764500000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS closed_events (
        seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        closed_at DATETIME(3) NOT NULL,
        PRIMARY KEY (seq)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE closed_events');
  }
}
