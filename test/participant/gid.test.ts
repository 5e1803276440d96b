/** The name of a branch: what is formatted is read back, everything else is refused. */
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  beganAtMs,
  BRANCHES_MAX,
  formatGid,
  parseGid,
  quoteGid,
  type Gid,
} from '../../src/participant/gid.ts';
import { sharedServer } from '../support/shared-server.ts';
import type { TestServer } from '../support/test-server.ts';

const hex = (length: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.constantFrom(...'0123456789abcdef'.split('')),
    minLength: length,
    maxLength: length,
  });

const gids: fc.Arbitrary<Gid> = fc
  .record({
    installation: hex(12),
    epoch: hex(16),
    uuid: hex(32),
    branch: fc.integer({ min: 1, max: BRANCHES_MAX }),
  })
  .map(({ uuid, ...rest }) => ({
    ...rest,
    transactionId: [0, 8, 12, 16, 20]
      .map((from, index, all) => uuid.slice(from, all[index + 1]))
      .join('-'),
  }));

const EXAMPLE: Gid = {
  installation: '0123456789ab',
  epoch: 'fedcba9876543210',
  transactionId: '01890a5d-ac96-774b-bcce-b302099a8057',
  branch: 7,
};
const EXAMPLE_TEXT = 'pgxa_0123456789ab_fedcba9876543210_01890a5dac96774bbcceb302099a8057_7';

describe('a gid as text', () => {
  it('any parts: parsing reads back what was formatted', () => {
    fc.assert(
      fc.property(gids, (gid) => {
        expect(parseGid(formatGid(gid))).toEqual(gid);
      }),
    );
  });

  it('any parts: letters, digits and _ only, and shorter than 200 bytes with its quotes', () => {
    fc.assert(
      fc.property(gids, (gid) => {
        const text = formatGid(gid);
        expect(text).toMatch(/^[a-z0-9_]+$/);
        expect(Buffer.byteLength(quoteGid(text))).toBeLessThan(200);
      }),
    );
  });

  it('different parts have different texts', () => {
    fc.assert(
      fc.property(gids, gids, (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        expect(formatGid(a)).not.toBe(formatGid(b));
      }),
    );
  });

  it('the format is frozen: branches that were prepared by an older version must be found', () => {
    expect(formatGid(EXAMPLE)).toBe(EXAMPLE_TEXT);
    expect(parseGid(EXAMPLE_TEXT)).toEqual(EXAMPLE);
  });

  it.each([1, 9, 10, 99, 999, BRANCHES_MAX])('branch %i can be named', (branch) => {
    expect(parseGid(formatGid({ ...EXAMPLE, branch }))?.branch).toBe(branch);
  });
});

describe('parts that are none', () => {
  it.each<[string, Partial<Gid>]>([
    ['installation in upper case', { installation: '0123456789AB' }],
    ['installation too short', { installation: '0123456789a' }],
    ['installation with a quote', { installation: "0123456789a'" }],
    ['installation with a newline behind it', { installation: '0123456789ab\n' }],
    ['something before the installation', { installation: 'x0123456789ab' }],
    ['no epoch', { epoch: '' }],
    ['something before the epoch', { epoch: 'xfedcba9876543210' }],
    ['something behind the epoch', { epoch: 'fedcba9876543210x' }],
    ['something before the transaction', { transactionId: `x${EXAMPLE.transactionId}` }],
    ['something behind the transaction', { transactionId: `${EXAMPLE.transactionId}x` }],
    ['epoch with a separator', { epoch: 'fedcba987654321_' }],
    ['transaction without hyphens', { transactionId: '01890a5dac96774bbcceb302099a8057' }],
    ['transaction in upper case', { transactionId: EXAMPLE.transactionId.toUpperCase() }],
    ['branch 0', { branch: 0 }],
    ['branch -1', { branch: -1 }],
    ['branch above the maximum', { branch: BRANCHES_MAX + 1 }],
    ['branch 1.5', { branch: 1.5 }],
    ['branch NaN', { branch: Number.NaN }],
    ['branch Infinity', { branch: Number.POSITIVE_INFINITY }],
  ])('%s: formatting throws a RangeError', (_, wrong) => {
    expect(() => formatGid({ ...EXAMPLE, ...wrong })).toThrow(RangeError);
    expect(() => formatGid({ ...EXAMPLE, ...wrong })).toThrow('not the parts of a gid: {"');
  });
});

describe('when a transaction began', () => {
  it('is in the first 48 bits of its id, whatever follows', () => {
    expect(beganAtMs(EXAMPLE.transactionId)).toBe(0x01890a5dac96);
    expect(beganAtMs('ffffffff-ffff-7fff-bfff-ffffffffffff')).toBe(2 ** 48 - 1);
    expect(beganAtMs('00000000-0001-7000-8000-000000000000')).toBe(1);
  });
});

describe('near misses are not ours', () => {
  const [, installation = '', epoch = '', transaction = ''] = EXAMPLE_TEXT.split('_');
  const nearMisses: readonly (readonly [string, string])[] = [
    ['empty', ''],
    ['upper case', EXAMPLE_TEXT.toUpperCase()],
    ['prefix in upper case', EXAMPLE_TEXT.replace('pgxa', 'PGXA')],
    ['one letter in upper case', EXAMPLE_TEXT.replace('fed', 'Fed')],
    ['another prefix', EXAMPLE_TEXT.replace('pgxa', 'pgxb')],
    ['a longer prefix', `x${EXAMPLE_TEXT}`],
    ['blank before', ` ${EXAMPLE_TEXT}`],
    ['blank behind', `${EXAMPLE_TEXT} `],
    ['newline behind', `${EXAMPLE_TEXT}\n`],
    ['carriage return and newline behind', `${EXAMPLE_TEXT}\r\n`],
    ['line separator behind', `${EXAMPLE_TEXT}\u2028`],
    ['second line', `x\n${EXAMPLE_TEXT}`],
    ['NUL behind', `${EXAMPLE_TEXT}\0`],
    ['quote behind', `${EXAMPLE_TEXT}'`],
    ['extra part', `${EXAMPLE_TEXT}_1`],
    ['extra empty part', `${EXAMPLE_TEXT}_`],
    ['extra part in the middle', `pgxa_0_${installation}_${epoch}_${transaction}_7`],
    ['no branch', `pgxa_${installation}_${epoch}_${transaction}`],
    ['empty branch', `pgxa_${installation}_${epoch}_${transaction}_`],
    ['no epoch', `pgxa_${installation}_${transaction}_7`],
    ['no installation', `pgxa_${epoch}_${transaction}_7`],
    ['parts in another order', `pgxa_${epoch}_${installation}_${transaction}_7`],
    ['branch 0', `pgxa_${installation}_${epoch}_${transaction}_0`],
    ['leading zero in branch', `pgxa_${installation}_${epoch}_${transaction}_07`],
    ['branch of five digits', `pgxa_${installation}_${epoch}_${transaction}_10000`],
    ['negative branch', `pgxa_${installation}_${epoch}_${transaction}_-7`],
    ['signed branch', `pgxa_${installation}_${epoch}_${transaction}_+7`],
    ['branch in hexadecimal', `pgxa_${installation}_${epoch}_${transaction}_a`],
    ['transaction with hyphens', EXAMPLE_TEXT.replace(transaction, EXAMPLE.transactionId)],
    ['Arabic digits', EXAMPLE_TEXT.replace('_7', '_\u0667')],
    ['fullwidth digits', EXAMPLE_TEXT.replace('_7', '_\uff17')],
    ['mathematical digits', EXAMPLE_TEXT.replace('_7', '_\u{1d7d5}')],
    ['Cyrillic a', EXAMPLE_TEXT.replace('pgxa', 'pgx\u0430')],
    ['a digit beyond f', EXAMPLE_TEXT.replace('fedc', 'gedc')],
    ['that of a logical subscription', 'pg_gid_16394_751'],
    ['that of Citus', 'citus_0_1234_5_6'],
  ];

  it.each(nearMisses)('%s: not parsed, and not quoted', (_, text) => {
    expect(parseGid(text)).toBeUndefined();
    expect(() => quoteGid(text)).toThrow(RangeError);
  });

  it('`_` replaced by any other character, at any place: not parsed, and not quoted', () => {
    const places = EXAMPLE_TEXT.split('').flatMap((char, at) => (char === '_' ? [at] : []));
    expect(places).toHaveLength(4);
    const other = fc.string({ unit: 'binary', maxLength: 2 }).filter((text) => text !== '_');
    fc.assert(
      fc.property(fc.constantFrom(...places), other, (at, replacement) => {
        const text = EXAMPLE_TEXT.slice(0, at) + replacement + EXAMPLE_TEXT.slice(at + 1);
        expect(parseGid(text)).toBeUndefined();
        expect(() => quoteGid(text)).toThrow(RangeError);
      }),
    );
  });

  it('one character inserted, removed or replaced: refused, or read as exactly that text', () => {
    const edit = fc.record({
      at: fc.nat(EXAMPLE_TEXT.length),
      removed: fc.nat(1),
      inserted: fc.oneof(
        fc.constantFrom('', '_', "'", '0', '7', 'A', 'g', '\n', '%'),
        fc.string({ unit: 'binary', maxLength: 1 }),
      ),
    });
    fc.assert(
      fc.property(edit, ({ at, removed, inserted }) => {
        const text = EXAMPLE_TEXT.slice(0, at) + inserted + EXAMPLE_TEXT.slice(at + removed);
        const parsed = parseGid(text);
        if (parsed !== undefined) expect(formatGid(parsed)).toBe(text);
      }),
      { numRuns: 1_000 },
    );
  });

  it('any text: quoted only if parsed, and then it holds no quote of its own', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      gids.map(formatGid),
      fc.tuple(gids.map(formatGid), fc.string()).map(([gid, tail]) => gid + tail),
      fc
        .array(fc.constantFrom('pgxa', '_', "'", installation, epoch, transaction, '7'))
        .map((a) => a.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        if (parseGid(text) === undefined) {
          expect(() => quoteGid(text)).toThrow(RangeError);
        } else {
          expect(quoteGid(text)).toMatch(/^'[a-z0-9_]+'$/);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('a gid on a real server', () => {
  let server: TestServer;
  let client: pg.Client;
  beforeAll(async () => {
    server = await sharedServer();
    client = new pg.Client(server.connectionString(await server.createDatabase('gid')));
    await client.connect();
    await client.query('create table item (id int)');
  });
  afterAll(() => client.end());

  it('prepared under the quoted gid: listed under the same text, and rolled back by it', async () => {
    await fc.assert(
      fc.asyncProperty(gids, async (gid) => {
        const text = formatGid(gid);
        await client.query('begin');
        await client.query('insert into item values (1)');
        const prepared = await client.query(`prepare transaction ${quoteGid(text)}`);
        expect(prepared.command).toBe('PREPARE');
        const { rows } = await client.query<{ gid: string }>(
          'select gid from pg_prepared_xacts where database = current_database()',
        );
        expect(rows.map((row) => parseGid(row.gid))).toEqual([gid]);
        const rolledBack = await client.query(`rollback prepared ${quoteGid(text)}`);
        expect(rolledBack.command).toBe('ROLLBACK');
      }),
      { numRuns: 25 },
    );
  });
});
