import type { MigrationInterface, QueryRunner } from 'typeorm';
import { alterQuickly, hasColumn } from './alter-quickly.ts';

/** Counts what operators asked of a member, so that it need not look for what nobody asked. */
export class MembersAsked1764200000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasColumn(runner, 'fleet_members', 'asked')) return;
    await alterQuickly(
      runner,
      'ALTER TABLE fleet_members ADD COLUMN asked INT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM=INSTANT',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE fleet_members DROP COLUMN asked');
  }
}
