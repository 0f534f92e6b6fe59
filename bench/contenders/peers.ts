import type { Urls } from '../lib/peer-space.ts';
import { have } from '../lib/redis.ts';
import { bullmq } from './bullmq.ts';
import { celery, python } from './celery.ts';
import type { Contender } from './contender.ts';
import { plain } from './plain.ts';

/** The peers that can run on this machine, and for the others the reason why not. */
export async function findPeers(
  urls: Urls,
): Promise<{ readonly peers: Contender[]; readonly missing: Record<string, string> }> {
  const peers = [plain(urls)];
  const missing: Record<string, string> = {};
  if (await have('redis-server', ['--version'], ['redis-server']))
    peers.push(bullmq(urls, 'always'), bullmq(urls, 'everysec'));
  else missing['BullMQ'] = 'redis-server is not installed and could not be';
  const modules = 'import celery, fastapi, uvicorn, pymysql';
  const packages = ['python3-celery', 'python3-fastapi', 'python3-uvicorn', 'python3-pymysql'];
  if (await have(python, ['-c', modules], packages)) peers.push(celery(urls));
  else missing['Celery + FastAPI'] = `Debian's python3 cannot "${modules}", and the packages could not be installed`;
  return { peers, missing };
}
