/**
 * The lexer of the statement scan against PostgreSQL's own, over generated texts in which COMMIT and
 * semicolons hide in strings, identifiers and comments.
 */
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { scanStatement } from '../../src/coordinator/statement-scan.ts';
import { sharedServer } from '../support/shared-server.ts';

/** Text that would mean something if a lexer took it for SQL. */
const bait = (...others: readonly string[]): fc.Arbitrary<string> =>
  fc
    .array(
      fc.constantFrom('; commit; ', ';', 'rollback', 'begin atomic', ' ', 'a', 'E', ...others),
      {
        maxLength: 5,
      },
    )
    .map((parts) => parts.join(''));

const plainString = bait('\\', '"', '$$', '--', '/*', '*/', "''", '\n').map((text) => `'${text}'`);
const escapeBody = bait("\\'", '\\\\', '"', '$$', '--', '/*', "''");
const escapeString = escapeBody.map((text) => `E'${text}'`);
const continuedPlain = fc.tuple(plainString, plainString).map(([a, b]) => `${a}\n${b}`);
const continuedEscape = fc
  .tuple(escapeString, fc.constantFrom('\n', ' \t\n ', ' -- ; commit\n', '\n-- it\n\n'), escapeBody)
  .map(([head, gap, tail]) => `${head}${gap}'${tail}'`);
const dollarString = fc
  .tuple(fc.constantFrom('', 'a', '_b1', '\u00e9'), bait("'", '"', '\\', '--', '/*', '\n'))
  .map(([tag, text]) => `$${tag}$${text}$${tag}$`);
const nestedDollar = bait("'", '$$', '$b$').map((text) => `$out$${text}$out$`);
const identifier = bait("'", '\\', '$$', '--', '/*', '""').map((text) => `1 as "x${text}"`);

const expression = fc.oneof(
  fc.constantFrom('1', 'null', "B'01'", '$$$$', "''", "U&'\\0041; commit'"),
  plainString,
  escapeString,
  continuedPlain,
  continuedEscape,
  dollarString,
  nestedDollar,
  identifier,
);

const lineComment = fc
  .tuple(bait("'", '"', '$$', '/*', '*/'), fc.constantFrom('\n', '\r', '\r\n'))
  .map(([text, newline]) => `--${text}${newline}`);
const { blockComment } = fc.letrec<{ blockComment: string; inner: string }>((tie) => ({
  blockComment: tie('inner').map((text) => `/*${text}*/`),
  inner: fc.oneof(
    { maxDepth: 2 },
    bait("'", '"', '$$', '\n', '--').map((text) => text),
    fc.tuple(bait("'"), tie('blockComment'), bait("'")).map((parts) => parts.join('')),
  ),
}));
const blank = fc.oneof(fc.constantFrom(' ', '\n', '\t', '\f', '  '), lineComment, blockComment);

const select = fc
  .tuple(blank, fc.array(fc.tuple(expression, blank), { minLength: 1, maxLength: 4 }))
  .map(([head, list]) => `select${head} ${list.map((pair) => pair.join(' ')).join(',')}`);
const statements = fc.array(select, { minLength: 1, maxLength: 4 });
const hidden = fc.constantFrom('commit', 'end', 'rollback', 'abort', 'begin', 'COMMIT AND CHAIN');

describe('any text', () => {
  it('of any characters: the scan ends, does not throw, and counts at most one more than its `;`', () => {
    const characters = fc.constantFrom(
      ...`;'"$/*-\\eE \n\r\0acommit`.split(''),
      'commit',
      '\ud800',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(characters, { maxLength: 60 }).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(text, (sql) => {
        const { statements: count } = scanStatement(sql);
        expect(count).toBeLessThanOrEqual(sql.split(';').length);
      }),
      { numRuns: 2_000 },
    );
  });

  it('a megabyte of comments, strings or semicolons: scanned in well under a second', () => {
    for (const part of [
      "E'a' -- ----\n",
      "E'a'\n--\n",
      '-',
      '-- a\n',
      "'a' ",
      ';',
      '/* a */',
      '$a$ $a$ ',
      'word ',
      "E'\\'' ",
    ]) {
      const text = part.repeat(Math.floor(1_000_000 / part.length));
      const began = performance.now();
      scanStatement(text);
      expect(performance.now() - began).toBeLessThan(2_000);
    }
  });
});

describe('texts with bait in strings, identifiers and comments', () => {
  it('only SELECTs: counted right, no control seen', () => {
    fc.assert(
      fc.property(statements, (all) => {
        expect(scanStatement(all.join(';'))).toMatchObject({
          control: { kind: 'none' },
          statements: all.length,
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it('a control statement among SELECTs, at any place: refused', () => {
    fc.assert(
      fc.property(statements, hidden, fc.nat(4), (all, control, place) => {
        const mixed = [...all];
        mixed.splice(place, 0, control);
        expect(scanStatement(mixed.join(';'))).toMatchObject({
          control: { kind: 'refused' },
          statements: all.length + 1,
        });
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('against the lexer of a real server', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client((await sharedServer()).connectionString());
    await client.connect();
  });
  afterAll(() => client.end());

  /** How many statements the server found: it answers each one with a command tag of its own. */
  async function tagsOf(text: string): Promise<string[]> {
    const results = (await client.query(text)) as unknown as pg.QueryResult | pg.QueryResult[];
    return (Array.isArray(results) ? results : [results]).map(({ command }) => command);
  }

  it('only SELECTs: the server carries out as many statements as the scan counts', async () => {
    await fc.assert(
      fc.asyncProperty(statements, async (all) => {
        const text = all.join(';');
        const tags = await tagsOf(text);
        expect(tags).toEqual(all.map(() => 'SELECT'));
        expect(scanStatement(text).statements).toBe(tags.length);
      }),
      { numRuns: 150 },
    );
  });

  it('a COMMIT that the server carries out is one that the scan sees', async () => {
    await fc.assert(
      fc.asyncProperty(statements, fc.nat(4), async (all, place) => {
        const mixed = [...all];
        mixed.splice(place, 0, 'commit');
        const text = mixed.join(';');
        expect(await tagsOf(text)).toContain('COMMIT');
        expect(scanStatement(text).control.kind).toBe('refused');
      }),
      { numRuns: 150 },
    );
  });
});
