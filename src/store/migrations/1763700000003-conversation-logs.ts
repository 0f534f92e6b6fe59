import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ConversationLogs1763700000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Written with the event and never updated, so that no later write of the event carries the text along. No foreign
    // key, and nothing unique but an id that carries its time: the table can be partitioned by that.
    await runner.query(`
      CREATE TABLE IF NOT EXISTS conversation_logs (
        event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        conversation_log MEDIUMTEXT NOT NULL,
        metadata MEDIUMTEXT NULL,
        PRIMARY KEY (event_id)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE conversation_logs');
  }
}
