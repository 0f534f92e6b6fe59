import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort } from '../../scripts/servers/index.ts';
import { startMember } from '../support/member.ts';
import { createNamespace } from '../support/namespace.ts';
import { findPrometheus } from '../support/prometheus.ts';
import { createProxy } from '../support/proxy.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../deploy/observability', import.meta.url));
const read = (name: string) => readFile(join(folder, name), 'utf8');

let programs: { prometheus: string; promtool: string };
let temporary: string;
beforeAll(async () => {
  programs = await findPrometheus();
  temporary = await mkdtemp(join(tmpdir(), 'afterword-alerts-'));
}, 240_000);
afterAll(() => rm(temporary, { recursive: true }));

const alertNames = async () =>
  [...(await read('alerts.yml')).matchAll(/- alert: (\w+)/g)].map(([, name]) => String(name));
/** PromQL of every panel, with the dashboard's variable replaced. */
const panelQueries = async () => {
  const { panels } = JSON.parse(await read('grafana/afterword.json')) as { panels: { targets?: { expr: string }[] }[] };
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m')));
};

test('each alert fires on its data, and none on healthy data', async () => {
  await run(programs.promtool, ['check', 'rules', 'alerts.yml'], { cwd: folder });
  await run(programs.promtool, ['test', 'rules', 'alerts.test.yml'], { cwd: folder });
  const healthy = (await read('alerts.test.yml')).split('- name: everything is wrong')[0] ?? '';
  for (const name of await alertNames()) expect(healthy, 'is silent on healthy data').toContain(`alertname: ${name} }`);
});

test('each alert has its runbook, and each runbook its alert', async () => {
  const runbooks = await readFile(new URL('../../docs/runbooks.md', import.meta.url), 'utf8');
  const entries = [...runbooks.matchAll(/^## (\w+)$/gm)].map(([, name]) => name);
  expect(entries.toSorted()).toEqual((await alertNames()).toSorted());
  const links = [...(await read('alerts.yml')).matchAll(/runbook: docs\/runbooks\.md#(\w+)/g)].map(([, name]) => name);
  expect(links.toSorted()).toEqual(entries.map((name) => String(name).toLowerCase()).toSorted());
});

test('the dashboard asks valid questions, and only of metrics that exist', async () => {
  const queries = await panelQueries();
  expect(queries.length).toBeGreaterThan(20);
  const rules = { groups: [{ name: 'panels', rules: queries.map((expr, i) => ({ record: `panel:${i}`, expr })) }] };
  const path = join(temporary, 'panels.yml');
  await writeFile(path, JSON.stringify(rules)); // JSON is YAML
  await run(programs.promtool, ['check', 'rules', path]);

  const documented = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const known = new Set([...documented.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, name]) => name));
  const asked = [...queries, await read('alerts.yml')].join('\n').matchAll(/\b(?:afterword|messaging)_[a-z_]+/g);
  for (const [name] of asked) {
    if (/^messaging_(?:operation_name|system)$/.test(name)) continue; // labels
    expect(known, name).toContain(name.replace(/_(?:bucket|sum|count)$/, ''));
  }
});

test('a Prometheus that scrapes a fleet whose broker goes away fires the right alert, and no other', async () => {
  const space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const network = await createProxy(new URL(inject('rabbitmqUrl')));
  const api = await startMember('api', { ...space.env, RABBITMQ_URL: network.through(inject('rabbitmqUrl')) });
  // The rules as they are, but for the waits: minutes here are seconds.
  const rules = (await read('alerts.yml')).replaceAll(/for: \d+m/g, 'for: 2s');
  await writeFile(join(temporary, 'alerts.yml'), rules);
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['alerts.yml'],
    scrape_configs: [{ job_name: 'afterword-api', static_configs: [{ targets: [new URL(api.url).host] }] }],
  };
  await writeFile(join(temporary, 'prometheus.yml'), JSON.stringify(config));
  const port = await freePort();
  const prometheus = spawn(
    programs.prometheus,
    [
      `--config.file=${join(temporary, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(temporary, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=error',
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const ended = once(prometheus, 'exit');
  type Answer = { data: { result: { metric: { alertname: string } }[] } };
  const query = async (expr: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`);
    return ((await answer.json()) as Answer).data.result;
  };
  const firing = async () => (await query('ALERTS{alertstate="firing"}')).map(({ metric }) => metric.alertname);
  try {
    await vi.waitFor(async () => expect(await query('afterword_broker_up == 1')).toHaveLength(1), 30_000);
    await network.refuse();
    // Nobody consumes either: there is no worker in this fleet, and with the broker away nobody can say so.
    await vi.waitFor(async () => expect(await firing()).toContain('AfterwordBrokerAway'), 30_000);
    expect((await firing()).filter((name) => name !== 'AfterwordNoConsumers')).toEqual(['AfterwordBrokerAway']);
    await network.restore();
    await vi.waitFor(async () => expect(await firing()).not.toContain('AfterwordBrokerAway'), 60_000);
  } finally {
    prometheus.kill('SIGTERM');
    await ended;
    await api.stop();
    await network.close();
    await space.dispose();
  }
}, 180_000);
