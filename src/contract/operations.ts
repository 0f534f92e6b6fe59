import * as z from 'zod';
import { answerFields, type Operation } from '../runtime/http/index.ts';

const tag = 'Service';

export const contractOperations: readonly Operation[] = [
  {
    id: 'getWelcome',
    method: 'get',
    path: '/',
    scope: null,
    tag,
    summary: 'What this is, and where to look',
    answers: {
      200: {
        what: 'Name, version and links.',
        content: {
          schema: z.object({ name: z.string(), version: z.string(), links: z.record(z.string(), z.string()) }),
        },
      },
    },
  },
  {
    id: 'getContract',
    method: 'get',
    path: '/openapi.json',
    scope: null,
    tag,
    summary: 'The contract as OpenAPI 3.1',
    answers: { 200: { what: 'OpenAPI 3.1.', content: { schema: answerFields.object } } },
  },
  {
    id: 'getReference',
    method: 'get',
    path: '/docs',
    scope: null,
    tag,
    summary: 'This page',
    answers: { 200: { what: 'A page.', content: { schema: z.string(), type: 'text/html' } } },
  },
  {
    id: 'getProblem',
    method: 'get',
    path: '/docs/problems/{code}',
    scope: null,
    tag,
    summary: 'Cause and cure of a problem',
    answers: { 200: { what: 'Markdown.', content: { schema: z.string(), type: 'text/plain' } } },
    problems: { 404: ['no_such_problem'] },
  },
];
