/** What the exit status of every verb means. Scripts rely on it: a number never changes its meaning. */
export const EXIT = {
  fine: 0,
  failed: 1,
  usage: 2,
  /** Transactions in doubt were found. */
  inDoubt: 3,
  /** Not confirmed, or against the log. */
  refused: 4,
  /** Something did not answer: what was printed is not the whole truth. */
  partial: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES_HELP = `
Exit codes:
  0  fine
  1  failed
  2  wrong usage, or a wrong configuration
  3  transactions in doubt were found
  4  refused: not confirmed, or against the decision log
  5  partial answer: a database could not be reached`;
