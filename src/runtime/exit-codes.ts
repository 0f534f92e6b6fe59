/** What the exit code of a command tells its caller. */
export const exitCodes = {
  ok: 0,
  /** Something failed that may succeed later, or some of the work failed. */
  failed: 1,
  /** The command line is wrong (commander uses 1; we follow the shells' convention). */
  usage: 2,
  /** No problem was found, but not everything could be checked. */
  undecided: 3,
  /** Configuration or environment is wrong: starting again changes nothing (EX_CONFIG of sysexits). */
  config: 78,
} as const;
