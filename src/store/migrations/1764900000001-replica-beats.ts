import type { MigrationInterface, QueryRunner } from 'typeorm';

/** One row, written every second while there is a replica, by which it is told how far that is behind. */
export class ReplicaBeats1764900000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS replica_beats (
        beat_id TINYINT UNSIGNED NOT NULL,
        beaten_at DATETIME(3) NOT NULL,
        PRIMARY KEY (beat_id)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE replica_beats');
  }
}
