import { type Config, loadConfig } from '../config.ts';

export type Json = { readonly json: boolean };

/** A command without arguments: its result is the exit code. */
export function run<O>(work: (config: Config, options: O) => Promise<number>): (options: O) => Promise<void> {
  return async (options) => {
    process.exitCode = await work(loadConfig(process.env), options);
  };
}

/** The same with one argument. */
export function runWith<A, O>(
  work: (config: Config, argument: A, options: O) => Promise<number>,
): (argument: A, options: O) => Promise<void> {
  return async (argument, options) => {
    process.exitCode = await work(loadConfig(process.env), argument, options);
  };
}
