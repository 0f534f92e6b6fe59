/**
 * A burst against a fleet that scales by itself, drawn as a picture: `node bench/scaling-burst.ts docs/scaling.svg`.
 * Servers as in scripts/bench.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findServers } from '../scripts/servers/index.ts';
import { topologyNames } from '../src/broker/index.ts';
import { svgOf } from '../src/terminal/svg-chart.ts';
import { openBroker } from '../test/support/broker.ts';
import { post } from '../test/support/client.ts';
import { startMember } from '../test/support/member.ts';
import { createNamespace } from '../test/support/namespace.ts';
import { scorerEnv } from './contenders/scorers.ts';
import { nextBody } from './lib/bodies.ts';

const seconds = 260;
/** Conversations per second: a quiet hour, a burst, a quiet hour. One worker takes fifty. */
const rateAt = (second: number) => (second >= 30 && second < 100 ? 220 : 20);
const [out = 'scaling.svg'] = process.argv.slice(2);

const folder = await mkdtemp(join(tmpdir(), 'afterword-scaling-'));
const say = (line: string) => process.stderr.write(`· ${line}\n`);
const found = await findServers(['database', 'broker'], { folder, volumes: null, say, ignoreNamed: true });
const urls = { database: found.database.server.url, rabbitmq: found.broker.server.url };
const space = await createNamespace(urls, {
  ...{ LOG_LEVEL: 'info', WORKER_REPLICAS_MIN: '1', WORKER_REPLICAS_MAX: '8', DATABASE_POOL_SIZE: '4' },
  ...{ SCALE_CHECK_INTERVAL: '5', SCALE_DRAIN_SECONDS: '15', MESSAGE_CONCURRENCY_PER_WORKER: '10' },
  ...scorerEnv({ workers: 1, concurrency: 10, waitMs: 200 }),
});
const broker = await openBroker(urls.rabbitmq);
const queues = Object.values(topologyNames(space.queue).queues);
const fleet = await startMember('fleet', space.env);
const url = () => /"url":"([^"]+)"/.exec(fleet.lines.join('\n'))?.[1];
while (url() === undefined) await delay(50);
const base = url() as string;

const points: { second: number; workers: number; waiting: number }[] = [];
const began = performance.now();
const posting = new Set<Promise<unknown>>();
for (let second = 0; second < seconds; second++) {
  const rate = rateAt(second);
  for (let i = 0; i < rate; i++) {
    const one = post(base, nextBody()).finally(() => posting.delete(one));
    posting.add(one);
    if (i % 20 === 19) await delay(5);
  }
  const depths = await Promise.all(queues.map((queue) => broker.depth(queue)));
  const [rows] = await space.database.query(
    "SELECT COUNT(*) AS n FROM fleet_members WHERE role = 'worker' AND state = 'running'",
  );
  const workers = Number((rows as { n: number }[])[0]?.n);
  points.push({ second, workers, waiting: depths.reduce((a, b) => a + b, 0) });
  await delay(Math.max(0, (second + 1) * 1_000 - (performance.now() - began)));
}
await Promise.all(posting);
for (const line of fleet.lines.filter((text) => text.includes('autoscaling'))) say(line);
const [left] = await space.database.query('SELECT status, COUNT(*) AS n FROM conversation_events GROUP BY status');
say(JSON.stringify(left));
await fleet.stop();
await broker.close();
await space.dispose();
await Promise.all([found.database.server.dispose(), found.broker.server.dispose()]);
await rm(folder, { recursive: true, force: true });

const at = points.map(({ second }) => second);
await writeFile(
  out,
  await svgOf(
    { width: 900, height: 380 },
    {
      backgroundColor: '#fff',
      legend: { top: 0, data: ['conversations that wait', 'arriving per second', 'workers'] },
      grid: { left: 60, right: 60, top: 40, bottom: 45 },
      xAxis: { type: 'category', data: at, name: 'seconds', nameLocation: 'middle', nameGap: 28, boundaryGap: false },
      yAxis: [
        { type: 'value', name: 'conversations' },
        { type: 'value', name: 'workers', min: 0, max: 8, splitLine: { show: false } },
      ],
      series: [
        {
          name: 'conversations that wait',
          type: 'line',
          showSymbol: false,
          areaStyle: { opacity: 0.2 },
          data: points.map(({ waiting }) => waiting),
        },
        { name: 'arriving per second', type: 'line', showSymbol: false, data: at.map(rateAt) },
        {
          name: 'workers',
          type: 'line',
          step: 'end',
          showSymbol: false,
          yAxisIndex: 1,
          lineStyle: { width: 3 },
          data: points.map(({ workers }) => workers),
        },
      ],
    },
  ),
);
say(`written: ${out}`);
