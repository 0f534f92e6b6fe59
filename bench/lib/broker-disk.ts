import type { Broker } from '../../scripts/servers/index.ts';

/** Size of the broker's data on disk, in bytes. */
export async function brokerDiskBytes(broker: Broker): Promise<number> {
  const { data_directory } = JSON.parse(await broker.ctl('status', '--formatter', 'json')) as {
    data_directory: string;
  };
  const printed = await broker.ctl('eval', `os:cmd("du -sb ${data_directory} | cut -f1").`);
  const bytes = Number(/\d+/.exec(printed)?.[0]);
  if (!Number.isFinite(bytes)) throw new Error(`cannot determine the size of the broker's data: ${printed}`);
  return bytes;
}
