import type { MigrationInterface, QueryRunner } from 'typeorm';
import { alterQuickly, hasColumn } from './alter-quickly.ts';

/** INSTANT: no row is written, however many there are. What was accepted before is in the normal lane. */
export class EventLanes1764700000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasColumn(runner, 'conversation_events', 'lane')) return;
    await alterQuickly(
      runner,
      `ALTER TABLE conversation_events
         ADD COLUMN lane ENUM('high', 'normal', 'low') CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'normal',
         ALGORITHM=INSTANT`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE conversation_events DROP COLUMN lane');
  }
}
