/** What the command line ends with, for scripts and CI. */
export const exitCodes = {
  done: 0,
  /** Refused by a rule, or failed to start. */
  refused: 1,
  /** Wrong arguments. */
  usage: 2,
  /** The deployment rolled back. */
  rolledBack: 3,
  /** The rollback failed; an SRE has to decide. */
  rollbackFailed: 4,
  /** The deployment ended without beginning: cancelled, refused or superseded. */
  notDeployed: 5,
  /** Signalbox does not answer. */
  unreachable: 6,
} as const;
