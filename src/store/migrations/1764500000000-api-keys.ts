import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Rows are never deleted: that there was ever a key is what closes an API. `current_name` is the name of the newest of
 * the keys that followed one another in rotations, until that is revoked.
 */
export class ApiKeys1764500000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE IF NOT EXISTS api_keys (
        key_id CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        name VARCHAR(100) NOT NULL,
        current_name VARCHAR(100) NULL,
        hash BINARY(32) NOT NULL,
        hashed_with CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        scopes VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        bound_to VARCHAR(256) NULL,
        per_minute INT UNSIGNED NULL,
        created_at DATETIME(3) NOT NULL,
        created_by VARCHAR(255) NOT NULL,
        expires_at DATETIME(3) NULL,
        revoked_at DATETIME(3) NULL,
        last_used_at DATETIME(0) NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (key_id),
        UNIQUE KEY ux_api_keys_current (current_name),
        KEY ix_api_keys_name (name),
        KEY ix_api_keys_updated (updated_at)
      ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE api_keys');
  }
}
