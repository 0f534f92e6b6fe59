import type { MigrationInterface, QueryRunner } from 'typeorm';

/** INSTANT: no row is written, however many there are, and nothing waits. */
export class EventTraces1764200000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // MySQL has no ADD COLUMN IF NOT EXISTS: a run that was interrupted before it was recorded is repeated.
    const found = (await runner.query(
      `SELECT 1 FROM information_schema.columns
       WHERE table_schema = DATABASE() AND table_name = 'conversation_events' AND column_name = 'traceparent'`,
    )) as unknown[];
    if (found.length > 0) return;
    await runner.query(
      `ALTER TABLE conversation_events
         ADD COLUMN traceparent CHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL, ALGORITHM=INSTANT`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE conversation_events DROP COLUMN traceparent');
  }
}
