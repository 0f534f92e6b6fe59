import * as mysql2 from 'mysql2';
import { DataSource, type EntityManager, type Repository } from 'typeorm';
import { migrations, migrationsTableName } from './migrations/index.ts';
import { type EventRow, EventSchema, type FriendshipRow, FriendshipSchema, schemas, type TopicRow, TopicSchema } from './schemas.ts';

export type Orm = {
  readonly dataSource: DataSource;
  /** The tables, through one connection's manager. */
  repositories(manager: EntityManager): Repositories;
};

export type Repositories = {
  readonly events: Repository<EventRow>;
  readonly friendships: Repository<FriendshipRow>;
  readonly topics: Repository<TopicRow>;
};

/** @throws the driver's error if the database cannot be reached. */
export async function openOrm(url: string, pool: mysql2.Pool): Promise<Orm> {
  const dataSource = new DataSource({
    type: 'mysql',
    url,
    // The pool is ours: its session statements reach every connection, and hot statements need no ORM.
    driver: { ...mysql2, createPool: () => pool },
    entities: schemas,
    migrations,
    migrationsTableName,
    timezone: 'Z',
  });
  await dataSource.initialize();
  return {
    dataSource,
    repositories: (manager) => ({
      events: manager.getRepository(EventSchema),
      friendships: manager.getRepository(FriendshipSchema),
      topics: manager.getRepository(TopicSchema),
    }),
  };
}
