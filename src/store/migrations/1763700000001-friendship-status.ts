import type { MigrationInterface, QueryRunner } from 'typeorm';
import { idCollation } from './id-collation.ts';

export class FriendshipStatus1763700000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const id = await idCollation(runner);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS friendship_status (
        user_id VARCHAR(255) COLLATE ${id} NOT NULL,
        friendship_score DECIMAL(18,4) NOT NULL DEFAULT 0,
        friendship_level VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'PHASE1_STRANGER',
        streak_day INT UNSIGNED NOT NULL DEFAULT 0,
        last_interaction_date DATETIME(3) NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (user_id),
        CONSTRAINT ck_friendship_status_score CHECK (friendship_score >= 0),
        CONSTRAINT ck_friendship_status_level CHECK (
          friendship_level IN ('PHASE1_STRANGER', 'PHASE2_ACQUAINTANCE', 'PHASE3_FRIEND'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE friendship_status');
  }
}
