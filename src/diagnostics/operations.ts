import * as z from 'zod';
import { answerFields, type Operation } from '../runtime/http/operation.ts';
import { mostSeconds } from './ports.ts';

const tag = 'Diagnostics';
const refusals = { 401: ['key_needed'], 403: ['operators_only'] } as const;
const needsOpsKey = 'Asks for OPS_KEY as its bearer token.';

/** They check OPS_KEY themselves, because they are also served where there are no API keys. */
export const diagnosticsOperations: readonly Operation[] = [
  {
    id: 'takeProfile',
    method: 'post',
    path: '/ops/profile',
    scope: null,
    tag,
    summary: 'Take a CPU profile',
    description: needsOpsKey,
    query: z.object({ seconds: z.int().min(1).max(mostSeconds).optional(), thread: z.string().optional() }),
    answers: { 200: { what: 'A .cpuprofile.', content: { schema: answerFields.object } } },
    problems: { ...refusals, 409: ['profile_running', 'profile_stopped', 'no_threads'], 422: ['bad_seconds'] },
  },
  {
    id: 'getHeap',
    method: 'get',
    path: '/ops/heap',
    scope: null,
    tag,
    summary: 'What the heap holds',
    description: needsOpsKey,
    answers: { 200: { what: 'Sizes.', content: { schema: answerFields.object } } },
    problems: refusals,
  },
  {
    id: 'takeSnapshot',
    method: 'post',
    path: '/ops/heap',
    scope: null,
    tag,
    summary: 'Take a heap snapshot',
    description: `${needsOpsKey} A snapshot contains conversations, and stops the process while it is taken.`,
    answers: { 200: { what: 'A .heapsnapshot.', content: { schema: answerFields.object } } },
    problems: { 401: ['key_needed'], 403: ['operators_only', 'snapshots_off'], 409: ['snapshot_running'] },
  },
];
