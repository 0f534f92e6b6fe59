import type { MigrationInterface, QueryRunner } from 'typeorm';

export class OperatorActions1764100000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS operator_actions (
        action_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        acted_at DATETIME(3) NOT NULL,
        actor VARCHAR(255) NOT NULL,
        action VARCHAR(50) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        target VARCHAR(255) NOT NULL,
        value VARCHAR(255) NULL,
        PRIMARY KEY (action_id)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE operator_actions');
  }
}
