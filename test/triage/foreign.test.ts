/** Names of prepared transactions as other systems write them: recognised, decoded, never mistaken for ours. */
import { describe, expect, it } from 'vitest';

import { foreignOriginOf } from '../../src/triage/foreign.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('the origin of a foreign prepared transaction', () => {
  it.each([
    [
      'pg_gid_16394_741',
      'logical-replication',
      { 'subscription oid': '16394', 'remote xid': '741' },
    ],
    ['citus_0_1234_4_1', 'citus', { group: '0', pid: '1234' }],
    ['_sa_0123456789abcdef0123456789abcdef', 'sqlalchemy', {}],
    ['8e3f6a0e-7d49-4b9e-9d6e-0d7f3a1b2c3d/4711', 'npgsql', { 'backend pid': '4711' }],
    ['django-orders-17', 'django', { name: 'orders-17' }],
    ['commerce:-80:17', 'vitess-like', { keyspace: 'commerce', shard: '-80', number: '17' }],
    ['__pgdog_2pc_12', 'pgdog', {}],
    ['1700000000-0000000042', 'greenplum', {}],
    [
      'pgxa_0123456789ab_0123456789abcdef_0199d3f27c1a70008000000000000000_1',
      'pgxa',
      { branch: '1' },
    ],
    ['nightly export', 'unknown', {}],
    ['', 'unknown', {}],
    ['pg_gid_16394_741x', 'unknown', {}],
  ])('%j is %s', (gid, kind, decoded) => {
    const origin = foreignOriginOf(gid);
    expect(origin).toMatchObject({ kind, decoded });
    expect(origin.advice).not.toBe('');
  });

  it('decodes a JTA name of pgjdbc into format, gtrid and bqual, and names the transaction manager', () => {
    const gid = `131077_${base64('node1:42')}_${base64('branch 1')}`;
    expect(foreignOriginOf(gid)).toMatchObject({
      kind: 'jta',
      origin: expect.stringContaining('Narayana') as string,
      decoded: { format: '131077', gtrid: 'node1:42', bqual: 'branch 1' },
    });
  });

  it('shows bytes that are no text as hexadecimal digits', () => {
    const gtrid = Buffer.from([0x00, 0xff, 0x1b]).toString('base64');
    expect(foreignOriginOf(`1096044365_${gtrid}_`)).toMatchObject({
      kind: 'jta',
      origin: expect.stringContaining('Atomikos') as string,
      decoded: { gtrid: '0x00ff1b', bqual: '' },
    });
  });

  it('does not take what is no base64 for a JTA name', () => {
    expect(foreignOriginOf('17_abc_de').kind).toBe('unknown');
  });
});
