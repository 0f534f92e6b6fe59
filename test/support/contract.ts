import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { createContract, type Document } from '../../src/contract/document.ts';
import { everyOperation } from '../../src/start/contract.ts';
import { version } from '../../src/version.ts';

export const operations = await everyOperation();

/** With every endpoint that an API can have. */
export const contract: Document = createContract(operations, version);

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(contract as object, 'contract');

type Answer = { readonly status: number; readonly headers: Record<string, unknown>; readonly body: unknown };

/** What is wrong with an answer by the document; empty if nothing is. Paths that it does not have are left out. */
export function wrongWith(method: string, path: string, answer: Answer): string[] {
  const found = find(method, new URL(path, 'http://localhost').pathname);
  const closed = [401, 403, 404, 405];
  if (found === null) return closed.includes(answer.status) ? [] : ['an endpoint that is not in the document'];
  // What is switched off is not there.
  if (answer.status === 404 && codeOf(answer.body) === 'no_such_endpoint') return [];
  const { at, responses } = found;
  const declared = responses[answer.status];
  if (declared === undefined) return [`status ${answer.status} is not in the document (${codeOf(answer.body)})`];
  const wrong: string[] = [];
  for (const [name, { required }] of Object.entries(declared.headers ?? {}))
    if (required && answer.headers[name.toLowerCase()] === undefined) wrong.push(`the header ${name} is missing`);
  const type = String(answer.headers['content-type'] ?? '').split(';')[0] ?? '';
  if (declared.content === undefined) return wrong;
  if (type in declared.content && (type === 'application/json' || type === 'application/problem+json')) {
    const pointer = [at, 'responses', answer.status, 'content', type, 'schema'].map(escapePart).join('/');
    const validate = ajv.getSchema(`contract#/paths/${pointer}`);
    if (validate?.(answer.body) === false)
      wrong.push(...(validate.errors ?? []).map((e) => `${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`));
    const { description = '' } = declared;
    if (type === 'application/problem+json' && !description.includes(`\`${codeOf(answer.body)}\``))
      wrong.push(`the code ${codeOf(answer.body)} is not in the document for ${answer.status}`);
  } else if (!(type in declared.content)) wrong.push(`the type ${type} is not in the document`);
  return wrong;
}

type Response = {
  readonly description?: string;
  readonly headers?: Readonly<Record<string, { readonly required?: boolean }>>;
  readonly content?: Readonly<Record<string, unknown>>;
};

/** Paths without parameters come first, as in a router. */
const endpoints = Object.entries(contract.paths ?? {})
  .map(([path, methods]) => ({
    path,
    methods: methods as Record<string, { responses: Record<string, Response> }>,
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+').replaceAll('.', '\\.')}/?$`, 'i'),
  }))
  .sort((a, b) => Number(a.path.includes('{')) - Number(b.path.includes('{')));

function find(method: string, path: string) {
  const verb = method.toLowerCase() === 'head' ? 'get' : method.toLowerCase();
  for (const endpoint of endpoints) {
    const operation = endpoint.methods[verb];
    if (endpoint.pattern.test(path) && operation !== undefined)
      return { at: [endpoint.path, verb].map(escapePart).join('/'), responses: operation.responses };
  }
  return null;
}

/** For a pointer in a URI fragment. */
function escapePart(part: string | number): string {
  const text = String(part);
  return text.includes('~1') ? text : encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function codeOf(body: unknown): string {
  return String((body as { code?: unknown } | null)?.code ?? '');
}
