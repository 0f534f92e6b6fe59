import { expect, test } from 'vitest';
import { type JobFacts, judgeMaintenance } from '../../../src/operate/judge-maintenance.ts';

const at = (text: string) => new Date(`2026-03-${text}Z`);
const job: JobFacts = {
  name: 'text-retention',
  previousAt: at('10T03:00:00'),
  last: { dueAt: at('10T03:00:00'), state: 'done', detail: null },
};

test.each<[string, Partial<JobFacts>, string | null, string, string]>([
  ['done', {}, null, '10T12:00:00', 'ok'],
  ['not seen yet', { last: null }, null, '10T12:00:00', 'ok'],
  ['under way', { last: { dueAt: at('10T03:00:00'), state: 'running', detail: null } }, null, '10T12:00:00', 'ok'],
  ['due a moment ago', { last: { dueAt: at('09T03:00:00'), state: 'done', detail: null } }, null, '10T03:05:00', 'ok'],
  ['missed', { last: { dueAt: at('09T03:00:00'), state: 'done', detail: null } }, null, '10T12:00:00', 'warn'],
  ['failed', { last: { dueAt: at('10T03:00:00'), state: 'failed', detail: 'denied' } }, null, '10T12:00:00', 'warn'],
  ['a right is missing', {}, 'DELETE command denied', '10T12:00:00', 'fail'],
])('%s', (_name, facts, refused, now, status) => {
  const [finding, ...more] = judgeMaintenance([{ ...job, ...facts }], refused, at(now));
  expect(finding).toMatchObject({ check: 'maintenance', status });
  expect(more).toEqual([]);
  if (status !== 'ok') expect(finding?.advice).toBeTruthy();
});
