import { classify } from './errors.ts';
import { openStore } from './open-store.ts';

/**
 * A database of its own beside the one of `url`, on the same server, for a measurement that must touch nothing of anybody's.
 * @throws {PipelineError} if the user may not create one.
 */
export async function createScratchDatabase(url: string, name: string): Promise<{ readonly url: string; drop(): Promise<void> }> {
  const statement = async (sql: string) => {
    const store = await openStore(url, { poolSize: 1, connectTimeoutMs: 5_000 });
    try {
      await store.dataSource.query(sql);
    } catch (error) {
      throw classify(error);
    } finally {
      await store.close();
    }
  };
  await statement(`CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { url: own.href, drop: () => statement(`DROP DATABASE ${name}`) };
}
