import type { MigrationInterface, QueryRunner } from 'typeorm';
import { firstMonths, hasMonths, logsTable } from '../log-months.ts';

/**
 * Partitions the texts by month. The server copies the table, about a minute per few gigabytes, and takes no new
 * conversations meanwhile (they are answered with 503); reading goes on.
 */
export class LogMonths1764800000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasMonths(runner)) return;
    await runner.query(`ALTER TABLE ${logsTable} PARTITION BY RANGE COLUMNS (event_id) (${firstMonths(new Date())})`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE ${logsTable} REMOVE PARTITIONING`);
  }
}
