/** A server that we may stop, kill and start again on the same address with the same data. */
export type Server = {
  readonly url: string;
  /** Stops it in an orderly way; its data stay. */
  stop(): Promise<void>;
  /** SIGKILL: no flush, no goodbye. */
  kill(): Promise<void>;
  /** Starts it again after `stop` or `kill`, with whatever data are left, and waits until it answers. */
  start(): Promise<void>;
  /** Stops it permanently and removes everything except data to keep. */
  dispose(): Promise<void>;
};

/** A broker that can also lose its data and run commands of `rabbitmqctl`. */
export type Broker = Server & {
  /** Kills it, removes its data and starts it again on the same address. */
  wipe(): Promise<void>;
  /** Runs `rabbitmqctl` on it. @returns what it printed. @throws if it fails. */
  ctl(...args: string[]): Promise<string>;
};

/** A Redis that can also lose its data and run commands. */
export type Redis = Server & {
  /** Kills it, removes its data and starts it again on the same address. */
  wipe(): Promise<void>;
  /** Runs a command on it. @returns what `redis-cli` printed. @throws if it fails. */
  cli(...args: string[]): Promise<string>;
};

/** Given the address at which clients reach it. */
export type RedisArgs = (host: string, port: number) => readonly string[];

export type ServerOf = { readonly database: Server; readonly broker: Broker; readonly redis: Redis };
export type Kind = keyof ServerOf;

/** Reports what is being done, one line at a time. */
export type Say = (line: string) => void;

/** `own`: what the fleet and its tools need. `all`: also what tests and benchmarks need. */
export type Rights = 'own' | 'all';

/** The grants of our user on our servers. `afterword size` measures in temporary databases. */
export function grants(rights: Rights): string[] {
  return rights === 'all'
    ? ["GRANT ALL ON *.* TO 'afterword'@'%' WITH GRANT OPTION"]
    : ["GRANT ALL ON `afterword`.* TO 'afterword'@'%'", "GRANT ALL ON `afterword\\_size\\_%`.* TO 'afterword'@'%'"];
}
