type Json = Readonly<Record<string, any>>;

/**
 * What a client that was written for `before` could no longer do with `after`: send what it sends, or find what it
 * reads. Additions are none.
 */
export function breakingChanges(before: Json, after: Json): string[] {
  const found: string[] = [];
  for (const [path, methods] of Object.entries(before['paths'] as Json))
    for (const [method, was] of Object.entries(methods as Json)) {
      const at = `${method} ${path}`;
      const is = after['paths']?.[path]?.[method] as Json | undefined;
      if (is === undefined) found.push(`${at} is gone`);
      else compareOperations(was as Json, is, at);
    }
  return found;

  function compareOperations(was: Json, is: Json, at: string): void {
    if (was['operationId'] !== is['operationId']) found.push(`${at}: another operationId`);
    const parameters = (of: Json) => (of['parameters'] ?? []) as Json[];
    for (const one of parameters(is)) {
      const old = parameters(was).find(({ name, in: place }) => name === one['name'] && place === one['in']);
      if (old === undefined && one['required']) found.push(`${at}: ?${one['name']} is required now`);
      if (old !== undefined) sent(old['schema'], one['schema'], `${at} ?${one['name']}`);
    }
    for (const old of parameters(was))
      if (!parameters(is).some(({ name }) => name === old['name'])) found.push(`${at}: ?${old['name']} is gone`);
    const [wanted, now] = [was['requestBody'] as Json | undefined, is['requestBody'] as Json | undefined];
    if (now?.['required'] && !wanted?.['required']) found.push(`${at}: a body is required now`);
    for (const [type, { schema }] of Object.entries((wanted?.['content'] ?? {}) as Json)) {
      if (now?.['content']?.[type] === undefined) found.push(`${at}: no ${type} any more`);
      else sent(schema, now['content'][type].schema, `${at} body`);
    }
    for (const [status, answer] of Object.entries(was['responses'] as Json)) {
      const other = is['responses'][status] as Json | undefined;
      if (other === undefined) {
        found.push(`${at}: no ${status} any more`);
        continue;
      }
      for (const name of Object.keys((answer as Json)['headers'] ?? {}))
        if (other['headers']?.[name] === undefined) found.push(`${at} ${status}: no ${name} any more`);
      for (const [type, { schema }] of Object.entries(((answer as Json)['content'] ?? {}) as Json)) {
        if (other['content']?.[type] === undefined) found.push(`${at} ${status}: no ${type} any more`);
        else read(schema, other['content'][type].schema, `${at} ${status}`);
      }
    }
  }

  /** What was taken must still be taken. */
  function sent(was: Json, is: Json, at: string, depth = 0): void {
    const [a, b] = [resolve(before, was), resolve(after, is)];
    if (depth > 8) return;
    sameType(a, b, at);
    for (const [name, isLess] of [
      ['maxLength', (x: number, y: number) => y < x],
      ['maximum', (x: number, y: number) => y < x],
      ['maxItems', (x: number, y: number) => y < x],
      ['minLength', (x: number, y: number) => y > x],
      ['minimum', (x: number, y: number) => y > x],
    ] as const)
      if (b[name] !== undefined && (a[name] === undefined || isLess(a[name], b[name])))
        found.push(`${at}: ${name} is ${b[name]}, and was ${a[name] ?? 'none'}`);
    for (const value of (a['enum'] ?? []) as unknown[])
      if (b['enum'] && !(b['enum'] as unknown[]).includes(value))
        found.push(`${at}: ${String(value)} is not taken any more`);
    for (const name of (b['required'] ?? []) as string[])
      if (!((a['required'] ?? []) as string[]).includes(name)) found.push(`${at}/${name} is required now`);
    within(a, b, (x, y, where) => sent(x, y, at + where, depth + 1), at);
  }

  /** What was there must still be there. */
  function read(was: Json, is: Json, at: string, depth = 0): void {
    const [a, b] = [resolve(before, was), resolve(after, is)];
    if (depth > 8) return;
    sameType(a, b, at);
    for (const name of (a['required'] ?? []) as string[])
      if (!((b['required'] ?? []) as string[]).includes(name)) found.push(`${at}/${name} may be missing now`);
    for (const value of (b['enum'] ?? []) as unknown[])
      if (a['enum'] && !(a['enum'] as unknown[]).includes(value))
        found.push(`${at}: ${String(value)} is new among the answers`);
    within(a, b, (x, y, where) => read(x, y, at + where, depth + 1), at);
  }

  function within(a: Json, b: Json, visit: (x: Json, y: Json, where: string) => void, at: string): void {
    for (const [name, schema] of Object.entries((a['properties'] ?? {}) as Json)) {
      const other = b['properties']?.[name] as Json | undefined;
      if (other === undefined) found.push(`${at}/${name} is gone`);
      else visit(schema as Json, other, `/${name}`);
    }
    if (a['items'] && b['items']) visit(a['items'], b['items'], '/*');
    const [x, y] = [(a['anyOf'] ?? []) as Json[], (b['anyOf'] ?? []) as Json[]];
    if (x.length > y.length) found.push(`${at}: fewer alternatives`);
    else x.forEach((one, i) => void visit(one, y[i] as Json, ''));
  }

  function sameType(a: Json, b: Json, at: string): void {
    const [was, is] = [[a['type'] ?? []].flat().sort().join(), [b['type'] ?? []].flat().sort().join()];
    if (was !== is) found.push(`${at}: ${is || 'anything'}, and was ${was || 'anything'}`);
  }
}

function resolve(document: Json, schema: Json): Json {
  const ref = schema['$ref'] as string | undefined;
  return ref === undefined ? schema : (document['components']['schemas'][ref.split('/').at(-1) ?? ''] as Json);
}
