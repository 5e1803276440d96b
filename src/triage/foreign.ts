/**
 * Where a prepared transaction comes from that is not of this log, as far as its name shows it. It is for the
 * operator's eyes alone: nothing in pgxa ever acts on it (invariant 9).
 */
import { parseGid } from '../participant/gid.ts';

export interface ForeignOrigin {
  /** Short and stable, for scripts: `jta`, `citus`, `logical-replication` … or `unknown`. */
  readonly kind: string;
  /** Who has made it, in words. */
  readonly origin: string;
  /** Who finishes it, and what to do. */
  readonly advice: string;
  /** What could be decoded of the name. */
  readonly decoded: Readonly<Record<string, string>>;
}

type Recognise = (gid: string) => ForeignOrigin | undefined;

export function foreignOriginOf(gid: string): ForeignOrigin {
  for (const recognise of RECOGNISERS) {
    const origin = recognise(gid);
    if (origin !== undefined) return origin;
  }
  return {
    kind: 'unknown',
    origin: 'unknown: the name tells nothing',
    advice: 'find out who prepared it (its owner, its age, its locks) before anything else',
    decoded: {},
  };
}

function pattern(
  expression: RegExp,
  kind: string,
  origin: string,
  advice: string,
  names: readonly string[] = [],
): Recognise {
  return (gid) => {
    const match = expression.exec(gid);
    if (match === null) return undefined;
    const decoded = Object.fromEntries(
      names.flatMap((name, index) => {
        const value = match[index + 1];
        return value === undefined ? [] : [[name, value]];
      }),
    );
    return { kind, origin, advice, decoded };
  };
}

const RECOGNISERS: readonly Recognise[] = [
  (gid) => {
    const ours = parseGid(gid);
    if (ours === undefined) return undefined;
    const { installation, epoch, transactionId, branch } = ours;
    return {
      kind: 'pgxa',
      origin: `pgxa, of another decision log (installation ${installation})`,
      advice:
        'use the pgxa.yaml of that log; if this server was copied from another environment, it is theirs',
      decoded: { installation, epoch, transaction: transactionId, branch: String(branch) },
    };
  },
  pattern(
    /^pg_gid_(\d+)_(\d+)$/,
    'logical-replication',
    'logical replication: the two-phase apply of a subscription',
    'never finish it by hand: that loses its rows and wedges the subscription; finish it on the publisher',
    ['subscription oid', 'remote xid'],
  ),
  pattern(
    /^citus_(\d+)_(\d+)_(\d+)_(\d+)$/,
    'citus',
    'Citus',
    'its coordinator finishes it: select recover_prepared_transactions() there',
    ['group', 'pid', 'transaction number', 'connection number'],
  ),
  decodeJta,
  pattern(
    /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\/(\d+)$/i,
    'npgsql',
    'Npgsql (System.Transactions of .NET)',
    'its transaction coordinator (MSDTC) knows the outcome',
    ['distributed transaction', 'backend pid'],
  ),
  pattern(
    /^_{0,2}django[-_:](.+)$/i,
    'django',
    'Django, by its name (an extension: Django itself does not prepare)',
    'the program that prepared it knows the outcome',
    ['name'],
  ),
  pattern(
    /^__pgdog_2pc_(.+)$/,
    'pgdog',
    'PgDog, a sharding pooler',
    'PgDog finishes it when it is back',
    ['name'],
  ),
  pattern(
    /^_sa_([0-9a-f]{32})$/,
    'sqlalchemy',
    'SQLAlchemy (a two-phase session)',
    'the program that prepared it knows the outcome; SQLAlchemy itself keeps no log of it',
    ['random'],
  ),
  pattern(
    /^([^:]+):([^:]*):(\d+)$/,
    'vitess-like',
    'a dtid as Vitess writes them (keyspace:shard:number)',
    'ask the transaction manager that wrote it (Vitess: vtctldclient DistributedTransaction)',
    ['keyspace', 'shard', 'number'],
  ),
  pattern(
    /^(?:pgfdw|fx)_/,
    'fdw',
    'a foreign-data wrapper or its two-phase extension',
    'the server that runs the foreign table knows the outcome',
  ),
  pattern(
    /^\d{10}-\d{10}$/,
    'greenplum',
    'Greenplum',
    'its coordinator finishes it; never by hand',
  ),
];

/** pgjdbc: <format id>_<base64 of gtrid>_<base64 of bqual>, as RecoveredXid writes it. */
function decodeJta(gid: string): ForeignOrigin | undefined {
  const match = /^(-?\d+)_([A-Za-z0-9+/]*={0,2})_([A-Za-z0-9+/]*={0,2})$/.exec(gid);
  if (match === null) return undefined;
  const [, format = '', gtrid = '', bqual = ''] = match;
  const bytes = [gtrid, bqual].map((text) => Buffer.from(text, 'base64'));
  const isExact = [gtrid, bqual].every((text, index) => bytes[index]?.toString('base64') === text);
  // Base64 comes in fours: other names have this shape by chance.
  if (!isExact || gtrid === '') return undefined;
  return {
    kind: 'jta',
    origin: `JTA through pgjdbc, or a program that writes its names the same way (psycopg)${transactionManagerOf(Number(format))}`,
    advice: 'the recovery of that transaction manager finishes it when its application server runs',
    decoded: {
      format,
      gtrid: readable(bytes[0] ?? Buffer.alloc(0)),
      bqual: readable(bytes[1] ?? Buffer.alloc(0)),
    },
  };
}

function transactionManagerOf(format: number): string {
  const known: Readonly<Record<number, string>> = {
    131_072: ' (Narayana, JBoss, WildFly, Quarkus)',
    131_075: ' (Narayana, JBoss, WildFly, Quarkus)',
    131_076: ' (Narayana, JBoss, WildFly, Quarkus)',
    131_077: ' (Narayana, JBoss, WildFly, Quarkus)',
    1_096_044_365: ' (Atomikos)',
    1_112_101_964: ' (Bitronix)',
    48_801: ' (WebLogic)',
    1_463_898_948: ' (WebSphere)',
  };
  return known[format] ?? '';
}

/** Text where it is printable ASCII, else hexadecimal digits. */
function readable(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  return /^[\x20-\x7e]*$/.test(text) ? text : `0x${bytes.toString('hex')}`;
}
