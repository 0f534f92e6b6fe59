import type { MigrationInterface, QueryRunner } from 'typeorm';
import { alterQuickly, hasColumn } from './alter-quickly.ts';

/** INSTANT: no row is written, however many there are. */
export class EventTraces1764200000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasColumn(runner, 'conversation_events', 'traceparent')) return;
    await alterQuickly(
      runner,
      `ALTER TABLE conversation_events
         ADD COLUMN traceparent CHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL, ALGORITHM=INSTANT`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE conversation_events DROP COLUMN traceparent');
  }
}
