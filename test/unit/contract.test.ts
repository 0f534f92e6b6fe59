import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { breakingChanges } from '../support/breaking-changes.ts';
import { contract, operations } from '../support/contract.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const sources = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: read(`src/${path}`) }));

/** Codes of problems, with their statuses, where they are made. */
const made = sources.flatMap(({ text }) =>
  [...text.matchAll(/new Problem\(\s*(\d{3}),\s*'(\w+)'/g)].map(([, status, code]) => ({ status, code })),
);
/** Failures that are answered as a 503 with their code. */
const passing = sources
  .filter(({ path }) => /^(accept|report|sessions|store|score|runtime\/group-commit|start)/.test(path))
  .flatMap(({ text }) => [...text.matchAll(/new PipelineError\(\s*'transient',\s*'(\w+)'/g)].map(([, code]) => code))
  .map((code) => ({ status: '503', code: code?.toLowerCase() }));
const pages = readdirSync(new URL('docs/problems', root)).map((name) => name.replace('.md', ''));

test('every code has a page with cause and cure, and every page a code', () => {
  const codes = new Set([...made, ...passing].map(({ code }) => code));
  expect([...codes].filter((code) => !pages.includes(String(code)))).toEqual([]);
  const raised = sources.map(({ text }) => text).join('\n');
  expect(
    pages.filter(
      (page) => !codes.has(page) && !raised.includes(`'${page.toUpperCase()}'`) && !raised.includes(`'${page}'`),
    ),
  ).toEqual([]);
  for (const page of pages) {
    const text = read(`docs/problems/${page}.md`);
    expect(text).toMatch(
      new RegExp(`^# ${page} \\(\\d{3}\\)\\n\\n\\*\\*Cause\\.\\*\\* .+\\n\\n\\*\\*Cure\\.\\*\\* `, 's'),
    );
    for (const { status, code } of made) if (code === page) expect(text).toContain(`(${status})`);
  }
});

test('an endpoint names only codes that there are', () => {
  const named = operations.flatMap(({ problems }) => Object.values(problems ?? {}).flat());
  expect(named.filter((code) => !pages.includes(code))).toEqual([]);
});

test('the document is the recorded one: what clients rely on changes on purpose, or not at all', () => {
  const recorded = JSON.parse(read('docs/openapi.json')) as typeof contract;
  expect(breakingChanges(recorded, JSON.parse(JSON.stringify(contract)))).toEqual([]);
  // What is only added is recorded, too: npm run contract
  expect({ ...JSON.parse(JSON.stringify(contract)), info: null }).toEqual({ ...recorded, info: null });
});

test.each<[string, (document: any) => unknown, string]>([
  ['an endpoint', (d) => delete d.paths['/v1/conversations'].get, 'get /v1/conversations is gone'],
  ['a field of an answer', (d) => delete d.components.schemas.Accepted.properties.event_id, '/event_id is gone'],
  ['a field that was always there', (d) => d.components.schemas.Accepted.required.pop(), 'may be missing now'],
  ['a shorter field', (d) => (d.components.schemas.ConversationEnd.properties.bot_id.maxLength = 9), 'maxLength is 9'],
  ['one more required field', (d) => d.components.schemas.ConversationEnd.required.push('metadata'), 'is required now'],
  ['another type', (d) => (d.components.schemas.Friendship.properties.streak_day.type = 'string'), 'was integer'],
  ['a status', (d) => delete d.paths['/v1/conversations/end'].post.responses[202], 'no 202 any more'],
  ['a parameter', (d) => d.paths['/v1/conversations'].get.parameters.pop(), '?cursor is gone'],
])('it is noticed if a change takes away %s', (_, change, expected) => {
  const changed = structuredClone(JSON.parse(JSON.stringify(contract)));
  change(changed);
  expect(breakingChanges(JSON.parse(JSON.stringify(contract)), changed).join('\n')).toContain(expected);
});
