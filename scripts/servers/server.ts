/** A server that we may stop, kill and start again on the same address with the same data. */
export type Server = {
  readonly url: string;
  /** Ends it as its operator would; data stays. */
  stop(): Promise<void>;
  /** SIGKILL: no flush, no goodbye. */
  kill(): Promise<void>;
  /** Starts it again after `stop` or `kill`, on what is left of its data, and waits until it answers. */
  start(): Promise<void>;
  /** Ends it for good and removes what is not data to keep. */
  dispose(): Promise<void>;
};

/** A broker that can also lose everything, and be told what its command line tells it. */
export type Broker = Server & {
  /** SIGKILL, its data gone, and started again on the same address. */
  wipe(): Promise<void>;
  /** Runs `rabbitmqctl` on it. @returns what it printed. @throws if it fails. */
  ctl(...args: string[]): Promise<string>;
};

export type ServerOf = { readonly database: Server; readonly broker: Broker };
export type Kind = keyof ServerOf;

/** How the finder says what it does, a line at a time. */
export type Say = (line: string) => void;

/** `own`: what the fleet and its tools need. `all`: also what tests and benchmarks do to a server. */
export type Rights = 'own' | 'all';

/** The user that our servers have for us. `size` measures in databases of its own. */
export function grants(rights: Rights): string[] {
  return rights === 'all'
    ? ["GRANT ALL ON *.* TO 'afterword'@'%' WITH GRANT OPTION"]
    : ["GRANT ALL ON `afterword`.* TO 'afterword'@'%'", "GRANT ALL ON `afterword\\_size\\_%`.* TO 'afterword'@'%'"];
}
