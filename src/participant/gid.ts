/**
 * The only place where a gid is formatted, parsed or quoted.
 *
 *     pgxa_<installation>_<epoch>_<transaction>_<branch>
 *
 * - installation: 12 hexadecimal digits, made once by the first migration of a decision log
 * - epoch:        16 hexadecimal digits, random, one for every start of a coordinator
 * - transaction:  the UUIDv7 as 32 hexadecimal digits
 * - branch:       ordinal of the branch in its transaction, 1 to 9999
 *
 * PREPARE TRANSACTION takes a literal of at most 199 bytes and no bind parameter
 * (https://www.postgresql.org/docs/current/sql-prepare-transaction.html): the alphabet is letters,
 * digits and `_`, so quoting is the two quotes around it. The name space is one per server, not per
 * database, hence the branch. Epoch and transaction are random, hence no gid is ever used twice,
 * over restarts, clones and restores of the log (invariant 10).
 */
export interface Gid {
  readonly installation: string;
  readonly epoch: string;
  /** UUID with hyphens, lower case. */
  readonly transactionId: string;
  readonly branch: number;
}

const INSTALLATION = /^[0-9a-f]{12}$/;
const EPOCH = /^[0-9a-f]{16}$/;
const UUID = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/;
const GID = /^pgxa_([0-9a-f]{12})_([0-9a-f]{16})_([0-9a-f]{32})_([1-9][0-9]{0,3})$/;

export const BRANCHES_MAX = 9999;

/** The gid as text. Throws a RangeError on a part outside its alphabet: that is a bug, never input. */
export function formatGid(gid: Gid): string {
  const uuid = UUID.exec(gid.transactionId);
  const ordinal = Number.isInteger(gid.branch) && gid.branch >= 1 && gid.branch <= BRANCHES_MAX;
  if (!INSTALLATION.test(gid.installation) || !EPOCH.test(gid.epoch) || uuid === null || !ordinal) {
    throw new RangeError(`not the parts of a gid: ${JSON.stringify(gid)}`);
  }
  return `pgxa_${gid.installation}_${gid.epoch}_${uuid.slice(1).join('')}_${gid.branch}`;
}

/** The parts of a gid of ours, of whatever installation; undefined for everything else. */
export function parseGid(text: string): Gid | undefined {
  const match = GID.exec(text);
  if (match === null) return undefined;
  const [, installation = '', epoch = '', hex = '', branch = ''] = match;
  const transactionId = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
  return { installation, epoch, transactionId, branch: Number(branch) };
}

/** The gid as an SQL literal. Refuses anything that `parseGid` would not read back. */
export function quoteGid(text: string): string {
  if (!GID.test(text)) throw new RangeError(`not a gid of pgxa: ${JSON.stringify(text)}`);
  return `'${text}'`;
}

/** When a transaction began, by its id: a UUIDv7 begins with milliseconds since 1970. */
export function beganAtMs(transactionId: string): number {
  return Number.parseInt(transactionId.replaceAll('-', '').slice(0, 12), 16);
}
