import type { MigrationInterface, QueryRunner } from 'typeorm';

/** At most one profile per member; its content is emptied when the operator has it. */
export class FleetProfiles1764200000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS fleet_profiles (
        member_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        request_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        subject VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        seconds SMALLINT UNSIGNED NOT NULL,
        state VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        wanted_at DATETIME(3) NOT NULL,
        error VARCHAR(255) NULL,
        content MEDIUMBLOB NULL,
        PRIMARY KEY (member_id),
        CONSTRAINT ck_fleet_profiles_state CHECK (state IN ('wanted', 'running', 'done', 'failed', 'taken'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fleet_profiles');
  }
}
