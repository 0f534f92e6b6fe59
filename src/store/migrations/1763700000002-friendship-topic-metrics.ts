import type { MigrationInterface, QueryRunner } from 'typeorm';
import { idCollation } from './id-collation.ts';

export class FriendshipTopicMetrics1763700000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const id = await idCollation(runner);
    await runner.query(`
      CREATE TABLE IF NOT EXISTS friendship_topic_metrics (
        user_id VARCHAR(255) COLLATE ${id} NOT NULL,
        topic_id VARCHAR(255) COLLATE ${id} NOT NULL,
        score DECIMAL(18,4) NOT NULL DEFAULT 0,
        turns INT UNSIGNED NOT NULL DEFAULT 0,
        level VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'PHASE1_STRANGER',
        last_date DATETIME(3) NOT NULL,
        PRIMARY KEY (user_id, topic_id),
        CONSTRAINT ck_friendship_topic_metrics_score CHECK (score >= 0),
        CONSTRAINT ck_friendship_topic_metrics_level CHECK (
          level IN ('PHASE1_STRANGER', 'PHASE2_ACQUAINTANCE', 'PHASE3_FRIEND'))
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE friendship_topic_metrics');
  }
}
