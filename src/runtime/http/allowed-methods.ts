import type { Router } from 'express';

/** A method of the `router` package, which Express is built on; Express's types omit it. */
type Matching = { match(path: string): boolean };

/** @returns the methods that the routes accept at this path, upper case and sorted; empty if there is no such path. */
export function allowedMethods(routers: readonly Router[], path: string): string[] {
  const methods = new Set<string>();
  for (const { stack } of routers) {
    for (const layer of stack) {
      if (layer.route === undefined || !(layer as unknown as Matching).match(path)) continue;
      for (const { method } of layer.route.stack) methods.add(method.toUpperCase());
    }
  }
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods].sort();
}
