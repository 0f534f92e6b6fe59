import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ConversationLogs1763700000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Written with the event and never updated, so that later writes of the event do not carry the text along. There is
    // no foreign key, and the only unique key is an id that starts with its time: the table can be partitioned by it.
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
