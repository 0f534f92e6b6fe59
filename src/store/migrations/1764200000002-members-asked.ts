import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Counts what operators asked of a member, so that it need not look for what nobody asked. */
export class MembersAsked1764200000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const found = (await runner.query(
      `SELECT 1 FROM information_schema.columns
       WHERE table_schema = DATABASE() AND table_name = 'fleet_members' AND column_name = 'asked'`,
    )) as unknown[];
    if (found.length > 0) return;
    await runner.query('ALTER TABLE fleet_members ADD COLUMN asked INT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM=INSTANT');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE fleet_members DROP COLUMN asked');
  }
}
