import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { generateApi } from 'swagger-typescript-api';
import { expect, inject, test } from 'vitest';
import { call, conversation } from '../support/client.ts';
import { createKey } from '../support/keys.ts';
import { startMember } from '../support/member.ts';
import { createNamespace } from '../support/namespace.ts';

/** Compiles only if the document says what the API is. */
const usage = `
import { Api, type Conversation } from './client.ts';
export async function use(url: string, key: string, body: Parameters<Api<string>['v1']['endConversation']>[0]) {
  const api = new Api<string>({
    baseUrl: url,
    securityWorker: (token) => (token ? { headers: { Authorization: \`Bearer \${token}\` } } : {}),
  });
  api.setSecurityData(key);
  const { data: accepted } = await api.v1.endConversation(body);
  const eventId: string = accepted.event_id;
  const { data: found } = await api.v1.getConversation({ id: accepted.conversation_id });
  const status: Conversation['status'] = found.status;
  const refused = await api.v1.getFriendship({ id: 'nobody' }).catch((answer) => answer.error.code as string);
  return { eventId, status, refused };
}
`;

test('a client that is generated from the document compiles, and works', async () => {
  const space = await createNamespace({ database: inject('databaseUrl'), rabbitmq: inject('rabbitmqUrl') });
  const key = await createKey(space.env, 'client');
  const api = await startMember('api', space.env);
  const { body: document } = await call(api.url, 'GET', '/openapi.json');
  const { files } = await generateApi({
    spec: document,
    output: false,
    silent: true,
    httpClientType: 'fetch',
    extractRequestParams: true,
  });
  const folder = mkdtempSync(join(tmpdir(), 'afterword-client-'));
  const source = files[0]?.fileContent ?? '';
  writeFileSync(join(folder, 'client.ts'), source);
  writeFileSync(join(folder, 'usage.ts'), usage);
  const tsc = join(import.meta.dirname, '../../node_modules/.bin/tsc');
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--target',
    'es2024',
    '--module',
    'nodenext',
    '--allowImportingTsExtensions',
  ];
  const checked = await promisify(execFile)(tsc, [...options, '--lib', 'es2024,dom', join(folder, 'usage.ts')]).catch(
    (error: { stdout: string }) => ({ stdout: error.stdout }),
  );
  expect(checked.stdout).toBe('');
  for (const [name, text] of [
    ['client', source],
    ['usage', usage.replace('./client.ts', './client.mjs')],
  ] as const)
    writeFileSync(join(folder, `${name}.mjs`), stripTypeScriptTypes(text, { mode: 'transform' }));
  const { use } = await import(pathToFileURL(join(folder, 'usage.mjs')).href);
  expect(await use(api.url, key, conversation())).toEqual({
    eventId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    status: 'PENDING',
    refused: 'user_not_found',
  });
  rmSync(folder, { recursive: true });
  expect(await api.stop()).toBe(0);
  await space.dispose();
});
