import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Document } from './document.ts';

/** What the page reads of the document, with references. */
type Schema = {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly default?: unknown;
};
type Content = Readonly<
  Record<
    string,
    { readonly schema?: Schema; readonly examples?: Readonly<Record<string, { readonly value: unknown }>> }
  >
>;
type Parameter = {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly description?: string;
};
type Endpoint = {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly deprecated?: boolean;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
};

const style = readFileSync(new URL('page.css', import.meta.url), 'utf8');

/** Allows nothing but the style of the page: it has no scripts, and loads nothing. */
export const pagePolicy = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', style, 'base64')}'`,
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

/** The reference, for people. */
export function renderPage(document: Document): string {
  const schemas = (document.components?.schemas ?? {}) as Readonly<Record<string, Schema>>;
  const endpoints = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Readonly<Record<string, Endpoint>>).map(([method, about]) => ({ path, method, about })),
  );
  const tags = [...new Set(endpoints.map(({ about }) => about.tags[0] ?? ''))];
  const nav = tags.map(
    (tag) =>
      `<h2>${escapeHtml(tag)}</h2>${endpoints
        .filter(({ about }) => about.tags[0] === tag)
        .map(({ about }) => `<a href="#${about.operationId}">${escapeHtml(about.summary)}</a>`)
        .join('')}`,
  );
  const sections = tags.flatMap((tag) =>
    endpoints.filter(({ about }) => about.tags[0] === tag).map((endpoint) => renderEndpoint(endpoint, schemas)),
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Afterword API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body>
<nav aria-label="Endpoints"><details open>
<summary><strong>Afterword ${escapeHtml(document.info.version)}</strong></summary>
${nav.join('')}<h2>Files</h2><a href="/openapi.json">openapi.json</a></details></nav>
<main><h1>Afterword API</h1><p>${escapeHtml(document.info.description ?? '')}</p>
<p>An API that has keys wants one with each request, as <code>Authorization: Bearer afw_live_…</code>; each endpoint
below says which scope it needs. <code>RateLimit</code> in an answer says what is left of a limit.</p>
<pre>curl -H "Authorization: Bearer $KEY" …/v1/conversations</pre>
${sections.join('')}</main></body></html>\n`;
}

function renderEndpoint(
  { path, method, about }: { readonly path: string; readonly method: string; readonly about: Endpoint },
  schemas: Readonly<Record<string, Schema>>,
): string {
  const parameters = (about.parameters ?? []).map(
    ({ name, in: place, required, schema, description }) =>
      `<tr><td><code>${escapeHtml(name)}</code></td><td class="place">${place}${required ? ', required' : ''}</td>` +
      `<td>${escapeHtml(ruleOf(schema))} ${marked(description ?? schema.description ?? '')}</td></tr>`,
  );
  const answers = Object.entries(about.responses).map(([status, { description, content }]) => {
    const [, { schema } = { schema: undefined }] = Object.entries(content ?? {})[0] ?? [];
    const isProblem = schema?.$ref?.endsWith('/Problem') ?? false;
    const body =
      schema && !isProblem ? `<details><summary>body</summary>${renderSchema(schema, schemas)}</details>` : '';
    return `<tr><td><code>${status}</code></td><td>${linked(description, isProblem)}${body}</td></tr>`;
  });
  const [[type, body] = ['', undefined]] = Object.entries(about.requestBody?.content ?? {});
  const examples = Object.entries(body?.examples ?? {}).map(
    ([name, { value }]) =>
      `<details><summary>example: ${escapeHtml(name)}</summary><pre>${escapeHtml(
        typeof value === 'string' ? value : JSON.stringify(value, null, 2),
      )}</pre></details>`,
  );
  return `<section id="${about.operationId}"><h3><span class="verb ${method}">${method}</span> ${escapeHtml(path)}</h3>
<p>${escapeHtml(about.summary)}.${about.deprecated ? ' <strong>Deprecated.</strong>' : ''}
${marked(about.description)}</p>
${parameters.length > 0 ? `<h4>Parameters</h4><table>${parameters.join('')}</table>` : ''}
${body?.schema ? `<h4>Body <code>${type}</code></h4>${renderSchema(body.schema, schemas)}${examples.join('')}` : ''}
<h4>Answers</h4><table>${answers.join('')}</table></section>`;
}

function renderSchema(given: Schema, schemas: Readonly<Record<string, Schema>>, depth = 0): string {
  const schema = given.$ref === undefined ? given : (schemas[given.$ref.split('/').at(-1) ?? ''] ?? {});
  const choices = (schema.anyOf ?? schema.oneOf ?? []).filter(({ type }) => type !== 'null');
  if (depth > 5) return '';
  if (choices.length > 1 && choices.some((one) => one.$ref ?? one.properties))
    return `<ul>${choices
      .map((one, i) => `<li>${i === 0 ? 'either' : 'or'} ${renderSchema(one, schemas, depth + 1)}</li>`)
      .join('')}</ul>`;
  const only = choices.length === 1 ? choices[0] : undefined;
  if (only !== undefined) return renderSchema(only, schemas, depth + 1);
  if (schema.items !== undefined) return renderSchema(schema.items, schemas, depth + 1);
  if (schema.properties === undefined) return '';
  const rows = Object.entries(schema.properties).map(([name, property]) => {
    const isNeeded = schema.required?.includes(name) ? ', required' : '';
    return (
      `<li><code>${escapeHtml(name)}</code> <span class="rule">${escapeHtml(ruleOf(property))}${isNeeded}</span> ` +
      `${marked(property.description ?? '')}${renderSchema(property, schemas, depth + 1)}</li>`
    );
  });
  return `<ul>${rows.join('')}</ul>`;
}

/** In a few words what a value has to be. */
function ruleOf(schema: Schema): string {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...new Set(choices.map(ruleOf))].join(' or ');
  if (schema.$ref !== undefined) return schema.$ref.split('/').at(-1) ?? '';
  if (schema.enum !== undefined) return schema.enum.join(' | ');
  if (schema.const !== undefined) return String(schema.const);
  const of = schema.items === undefined ? '' : ` of ${ruleOf(schema.items)}`;
  const { minLength, maxLength, minimum, maximum, maxItems } = schema;
  const bounds = [
    maxLength === undefined ? '' : `${minLength ?? 0}–${maxLength} characters`,
    minimum === undefined || maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : `${minimum}–${maximum}`,
    maxItems === undefined ? '' : `at most ${maxItems}`,
    schema.default === undefined || schema.default === '' ? '' : `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean);
  const type = [schema.format ?? [schema.type].flat().join(' or ')].join('');
  return [type + of, ...bounds].join(', ');
}

/** Codes lead to their pages. */
function linked(description: string, isProblem: boolean): string {
  if (!isProblem) return marked(description);
  return escapeHtml(description).replaceAll(/`(\w+)`/g, '<a href="/docs/problems/$1"><code>$1</code></a>');
}

function marked(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
