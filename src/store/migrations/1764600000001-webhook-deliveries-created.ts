import type { MigrationInterface, QueryRunner } from 'typeorm';
import { hasIndex } from './alter-quickly.ts';

/** Deliveries of a time are found without reading all before it. */
export class WebhookDeliveriesCreated1764600000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    if (await hasIndex(runner, 'webhook_deliveries', 'ix_webhook_deliveries_created')) return;
    await runner.query(
      `ALTER TABLE webhook_deliveries ADD KEY ix_webhook_deliveries_created (endpoint_id, created_at),
         ALGORITHM=INPLACE, LOCK=NONE`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE webhook_deliveries DROP KEY ix_webhook_deliveries_created');
  }
}
