import type { MigrationInterface, QueryRunner } from 'typeorm';
import { alterQuickly, hasColumn } from './alter-quickly.ts';

/** Several rotations may follow one another quickly: each secret that was ever given to anybody signs until its end. */
export class WebhookOldSecrets1764600000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasColumn(runner, 'webhook_endpoints', 'old_secrets')) return;
    await alterQuickly(
      runner,
      `ALTER TABLE webhook_endpoints
         ADD COLUMN old_secrets TEXT CHARACTER SET ascii COLLATE ascii_bin NULL AFTER secret,
         DROP COLUMN old_secret, DROP COLUMN old_secret_until`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE webhook_endpoints
        ADD COLUMN old_secret VARCHAR(120) CHARACTER SET ascii COLLATE ascii_bin NULL AFTER secret,
        ADD COLUMN old_secret_until DATETIME(3) NULL AFTER old_secret,
        DROP COLUMN old_secrets
    `);
  }
}
