/** What a command's end tells its caller. */
export const exitCodes = {
  ok: 0,
  /** Something failed that may work another time, or the work had failures. */
  failed: 1,
  /** The command line is wrong (commander's own code is 1; ours is the shell's custom). */
  usage: 2,
  /** Nothing bad was found, but not everything could be looked at. */
  undecided: 3,
  /** Configuration or surroundings are wrong: starting again changes nothing (EX_CONFIG of sysexits). */
  config: 78,
} as const;
