import { readFileSync } from 'node:fs';
import dotenv from 'dotenv';
import { expect, test } from 'vitest';
import { ConfigError, configurationDigest, loadConfig, maskedConfig } from '../../src/config.ts';
import { profileDefaults } from '../../src/profile-defaults.ts';
import { settings } from '../../src/settings.ts';
import { leanWorker } from '../../src/start/lean-start.ts';

const required = { DATABASE_URL: 'mysql://user:secret@db:3306/afterword', RABBITMQ_URL: 'amqp://user:secret@mq' };

test('.env.example lists every setting with its default, and nothing else', () => {
  const text = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
  const listed = [...text.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  const composeOnly = ['MYSQL_ROOT_PASSWORD', 'MYSQL_PASSWORD', 'RABBITMQ_PASSWORD', 'API_HOST', 'API_PORT', 'ESPEAK'];
  expect(
    listed
      .map(([name]) => name)
      .filter((name) => !composeOnly.includes(String(name)))
      .sort(),
  ).toEqual(Object.keys(settings).sort());
  // The values given, commented out or not, are the defaults: loading them changes nothing.
  const given = dotenv.parse(text.replaceAll(/^# (?=[A-Z][A-Z0-9_]+=)/gm, ''));
  const { DATABASE_URL: _d, RABBITMQ_URL: _r, ...defaults } = given;
  const { origins: _, ...loaded } = loadConfig({ ...defaults, ...required });
  expect(loadConfig(required)).toMatchObject(loaded);
});

test('compose starts workers with the same lean settings as the fleet', () => {
  const text = readFileSync(new URL('../../docker-compose.worker.yml', import.meta.url), 'utf8');
  for (const [name, value] of Object.entries(leanWorker)) expect(text).toMatch(new RegExp(`${name}: "?${value}"?\\n`));
});

test('compose starts workers without the servers, from .env alone', () => {
  const text = readFileSync(new URL('../../docker-compose.worker.yml', import.meta.url), 'utf8');
  expect(text).toContain('env_file: [{ path: .env, required: false }]');
  // It must not need another file, or a variable that a workers-only host has no use for.
  expect(text).not.toMatch(/extends:|depends_on:|:\?/);
});

test('compose passes on every setting except those the image decides', () => {
  const text = readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8');
  const decided = ['HOST', 'PORT', 'LOG_FORMAT'];
  const missing = Object.keys(settings).filter((name) => !decided.includes(name) && !text.includes(`\n  ${name}: `));
  expect(missing).toEqual([]);
});

test('one message names every bad variable', () => {
  const bad = {
    RABBITMQ_URL: 'http://x',
    PORT: 'x',
    MAX_ATTEMPTS: '0',
    DRAIN_MS: '1.5',
    LOG_LEVEL: 'loud',
    SCORING_TIMEZONE: 'Mars/Olympus',
  };
  expect(() => loadConfig(bad)).toThrow(ConfigError);
  const message = (() => {
    try {
      loadConfig(bad);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  })();
  for (const name of ['DATABASE_URL is not set', ...Object.keys(bad)]) expect(message).toContain(name);
});

test.each([
  [{ DATABASE_URL: 'mysql://h' }, 'DATABASE_URL'],
  [{ RETRY_BASE_MS: '10', RETRY_CAP_MS: '5' }, 'RETRY_CAP_MS'],
  [{ SCORING_THREADS: '20' }, 'SCORING_THREADS'],
  [{ REPUBLISH_AFTER_MS: '3600000' }, 'REPUBLISH_AFTER_MS'],
  [{ MAX_BODY_BYTES: '2048', ACCEPT_BUFFER_BYTES: '1024' }, 'ACCEPT_BUFFER_BYTES'],
])('%j contradicts itself', (env, name) => {
  expect(() => loadConfig({ ...required, ...env })).toThrow(name);
});

test('the result is frozen, empty variables are unset, passwords are masked', () => {
  const config = loadConfig({ ...required, PORT: '' });
  expect(config.port).toBe(3000);
  expect(Object.isFrozen(config)).toBe(true);
  expect(JSON.stringify(maskedConfig(config))).not.toContain('secret');
});

test('a profile sets defaults, what is set by hand wins, and each is told apart', () => {
  const dev = loadConfig({ ...required, AFTERWORD_PROFILE: 'dev', LOG_LEVEL: 'warn', CA_FILE: '' });
  expect(dev).toMatchObject({ workerReplicas: 1, concurrency: 1, scoringThreads: 1, logLevel: 'warn' });
  expect(dev.origins).toEqual({
    environment: ['DATABASE_URL', 'RABBITMQ_URL', 'AFTERWORD_PROFILE', 'LOG_LEVEL'],
    profile: ['WORKER_REPLICAS', 'MESSAGE_CONCURRENCY_PER_WORKER'],
  });
  const prod = loadConfig({ ...required, AFTERWORD_PROFILE: 'prod' });
  expect(prod).toMatchObject({ concurrency: 50, logLevel: 'info', logFormat: 'json' });
  expect(prod.workerReplicas).toBeGreaterThanOrEqual(2);
  expect([1, 8, 16, 17].map((cores) => profileDefaults('prod', cores)['WORKER_REPLICAS'])).toEqual([
    '2',
    '2',
    '4',
    '5',
  ]);
  expect(loadConfig(required).origins.profile).toEqual([]);
  expect(() => loadConfig({ ...required, AFTERWORD_PROFILE: 'production' })).toThrow('must be one of dev, prod');
});

test('members that differ in where their settings come from are configured alike', () => {
  const byHand = { WORKER_REPLICAS: '1', MESSAGE_CONCURRENCY_PER_WORKER: '1', LOG_LEVEL: 'debug' };
  expect(configurationDigest(loadConfig({ ...required, ...byHand }))).toBe(
    configurationDigest(loadConfig({ ...required, AFTERWORD_PROFILE: 'dev' })),
  );
});

test.each([
  [{ LANE_WEIGHTS: 'high:1,normal:1' }, 'LANE_WEIGHTS must be a weight'],
  [{ LANE_WEIGHTS: 'high:6,normal:3,low:0' }, 'LANE_WEIGHTS must be a weight'],
  [{ LANE_WEIGHTS: 'high:6,normal:3,low:1,low:2' }, 'LANE_WEIGHTS must be a weight'],
  [{ WORKER_LANES: 'urgent' }, 'WORKER_LANES must be some of high, normal, low'],
  [{ WORKER_LANES: ',' }, 'WORKER_LANES must be some of'],
  [{ LANE_RULES: 'bot_type=STORY' }, 'LANE_RULES has "bot_type=STORY"'],
  [{ LANE_RULES: 'bot_type=STORY:low,user=a:high' }, 'LANE_RULES has "user=a:high"'],
  [{ LANE_RULES: 'bot_type=STORY:urgent' }, 'bot_type, bot_id or agent_tag'],
  [{ FAIR_RATE: '-1' }, 'FAIR_RATE must be'],
])('%j is a clear error', (env, said) => {
  expect(() => loadConfig({ ...required, ...env })).toThrow(said);
});

test('lanes are read in any order, with blanks', () => {
  const config = loadConfig({
    ...required,
    LANE_WEIGHTS: 'low:1, high:10 ,normal:5',
    WORKER_LANES: 'normal, high',
    LANE_RULES: 'bot_id=exam-*:high, agent_tag=a:b:low',
  });
  expect(config.laneWeights).toEqual({ high: 10, normal: 5, low: 1 });
  expect(config.workerLanes).toEqual(['high', 'normal']);
  expect(config.laneRules).toEqual([
    { field: 'bot_id', value: 'exam-*', lane: 'high' },
    { field: 'agent_tag', value: 'a:b', lane: 'low' },
  ]);
});
