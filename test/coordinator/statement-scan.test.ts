/** What the scan of an SQL text sees of transaction control, and what it must not be fooled by. */
import { describe, expect, it } from 'vitest';

import { scanStatement, type StatementControl } from '../../src/coordinator/statement-scan.ts';

function controlOf(text: string): StatementControl {
  return scanStatement(text).control;
}

describe('one statement of transaction control', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['begin', undefined, undefined],
    ['BEGIN', undefined, undefined],
    ['Begin;', undefined, undefined],
    ['begin work', undefined, undefined],
    ['begin transaction', undefined, undefined],
    ['start transaction', undefined, undefined],
    ['  \n\tstart   transaction ;; ; ', undefined, undefined],
    ['/* a */ begin -- b', undefined, undefined],
    ['start /* x */ transaction', undefined, undefined],
    ['begin isolation level serializable', 'SERIALIZABLE', undefined],
    ['begin transaction isolation level repeatable read', 'REPEATABLE READ', undefined],
    ['start transaction isolation level read committed', 'READ COMMITTED', undefined],
    ['start transaction isolation level read uncommitted', 'READ UNCOMMITTED', undefined],
    ['begin read only', undefined, 'READ ONLY'],
    ['start transaction read write', undefined, 'READ WRITE'],
    [
      'start transaction isolation level serializable, read only, deferrable',
      'SERIALIZABLE',
      'READ ONLY',
    ],
    [
      'start transaction read only, isolation level repeatable read',
      'REPEATABLE READ',
      'READ ONLY',
    ],
    ['begin isolation\nlevel /* c */ repeatable -- d\n read', 'REPEATABLE READ', undefined],
    ['begin not deferrable', undefined, undefined],
  ])('%j begins', (text, isolation, access) => {
    expect(controlOf(text)).toEqual({ kind: 'begin', isolation, access });
  });

  it.each([
    'commit',
    'COMMIT;',
    'commit work',
    'commit transaction',
    'commit and no chain',
    'end',
    'end work',
    'end transaction',
    'end and no chain',
    '-- done\ncommit',
    '/* a /* b */ ; */ commit /* c */ ;',
    ';commit',
  ])('%j commits', (text) => {
    expect(controlOf(text)).toEqual({ kind: 'commit' });
  });

  it.each([
    'rollback',
    'ROLLBACK;',
    'rollback work',
    'rollback transaction',
    'rollback and no chain',
    'abort',
    'abort work',
    'abort and no chain',
  ])('%j rolls back', (text) => {
    expect(controlOf(text)).toEqual({ kind: 'rollback' });
  });

  it.each([
    ["prepare transaction 'x'", 'PREPARE TRANSACTION'],
    ["PREPARE /* name? */ TRANSACTION 'x';", 'PREPARE TRANSACTION'],
    ["commit prepared 'x'", 'COMMIT PREPARED'],
    ["rollback prepared 'x'", 'ROLLBACK PREPARED'],
    ['commit and chain', 'COMMIT AND CHAIN'],
    ['commit work and chain', 'COMMIT AND CHAIN'],
    ['end and chain', 'END AND CHAIN'],
    ['rollback and chain', 'ROLLBACK AND CHAIN'],
    ['rollback transaction and /* no */ chain', 'ROLLBACK AND CHAIN'],
    ['abort and chain', 'ABORT AND CHAIN'],
  ])('%j is refused', (text, command) => {
    expect(controlOf(text)).toEqual({ kind: 'refused', command });
  });

  it.each([
    '',
    ';',
    ' ;; -- nothing',
    'savepoint a',
    'release a',
    'release savepoint a',
    'rollback to a',
    'rollback to savepoint a',
    'rollback work to savepoint a',
    'rollback transaction to a',
    'rollback to chain',
    'prepare transactions as select 1',
    'prepare commit as select 1',
    'prepare "transaction" as select 1',
    'execute commit',
    'deallocate transaction',
    'set transaction isolation level serializable',
    'select 1 as commit',
    'insert into begin values (1)',
    'explain select 1',
    'commits',
    'beginning',
    '_commit',
    'commit$',
    'commit\u00e9',
    '"commit"',
    "'commit'",
    '$$commit$$',
    'start',
    'do $$ begin commit; end $$',
    'call commit()',
  ])('%j controls nothing', (text) => {
    expect(controlOf(text)).toEqual({ kind: 'none' });
  });
});

describe('several statements in one text', () => {
  it.each([
    ['begin; insert into t values (1); commit', 'BEGIN'],
    ['insert into t values (1); commit', 'COMMIT'],
    ['commit; insert into t values (1)', 'COMMIT'],
    ['select 1;commit;', 'COMMIT'],
    ['select 1; end', 'COMMIT'],
    ['select 1; abort', 'ROLLBACK'],
    ['select 1; rollback and chain', 'ROLLBACK AND CHAIN'],
    ["select 1; prepare transaction 'x'", 'PREPARE TRANSACTION'],
    ["select 1; commit prepared 'x'", 'COMMIT PREPARED'],
    ['select 1; start transaction', 'BEGIN'],
    ['commit; commit', 'COMMIT'],
    ["select ''';'; commit", 'COMMIT'],
    ['select $$;$$; commit', 'COMMIT'],
    ['select $a$ $b$ ; $a$; commit', 'COMMIT'],
    ["select E'\\\\'; commit; select ''", 'COMMIT'],
    ["select '\\'; commit; select ''", 'COMMIT'],
    ["select e'a''\\''; commit; --'", 'COMMIT'],
    ["select name'\\'; commit; --'", 'COMMIT'],
    ['select "a""b;"; commit', 'COMMIT'],
    ['select 1 /* /* */ ; */; commit', 'COMMIT'],
    ['select 1 -- ;\n; commit', 'COMMIT'],
    ['select 1 -- ;\r; commit', 'COMMIT'],
    ['select a$b$c; commit; select d$b$e', 'COMMIT'],
    ['select $1; commit; select $1', 'COMMIT'],
    ["select E'a'\n'b\\''; commit; select '1'", 'COMMIT'],
    ["select E'a' -- then\n -- more\n'b\\''; commit; select '1'", 'COMMIT'],
  ])('%j hides transaction control: refused', (text, command) => {
    const control = controlOf(text);
    expect(control).toEqual({
      kind: 'refused',
      command: expect.stringMatching(
        new RegExp(`^${command} in a text of [23] statements$`),
      ) as string,
    });
  });

  it.each([
    ['select 1; select 2', 2],
    ['select 1;', 1],
    [';;select 1;;select 2;;', 2],
    ["select '; commit;'", 1],
    ["select ''';commit;'''", 1],
    ["select E'\\'; commit; \\''", 1],
    ["select e'\\\\\\'; commit; '", 1],
    ["select E'a'\n'\\'; commit; '", 1],
    ["select E'a' -- c\n\n '\\'; commit; '", 1],
    ["select 'a'\n'\\'; select '; commit; '", 2],
    ['select $$; commit; $$', 1],
    ['select $a$ $$ ; commit; $$ $a$', 1],
    ['select $A$ $a$ ; commit; $a$ $A$', 1],
    ['select $\u00e9$; commit; $\u00e9$', 1],
    ['select 1 as "; commit;"', 1],
    ['select 1 as "a""; commit; "', 1],
    ['select 1 /* ; commit; */', 1],
    ['select 1 /* /* */ ; commit; */', 1],
    ['select 1 -- ; commit;', 1],
    ['select 1 /* ; commit;', 1],
    ["select '; commit;", 1],
    ['select $$; commit;', 1],
    ["select U&'\\0041; commit;'", 1],
    ["select B'1', X'f', N'; commit;'", 1],
    ['savepoint a; rollback to a; release a', 3],
  ])('%j: nothing hidden, %i statements', (text, count) => {
    expect(scanStatement(text)).toMatchObject({ control: { kind: 'none' }, statements: count });
  });
});

describe('function bodies of the SQL standard', () => {
  it.each([
    'create function f() returns int begin atomic select 1; select 2; end',
    'create function f() returns int language sql begin atomic select 1; end;',
    'create or replace procedure p() begin atomic insert into t values (1); end',
    'create function f(a int) returns int begin atomic select case when a = 1 then 2 end; select 3; end',
    `create function f(a int) returns int begin atomic
       select case when a = 1 then case a when 2 then 3 end else 4 end; select 5; end`,
    'create function f() returns int begin /* x */ atomic select 1; end',
    'create function f() returns text begin atomic select \'end\'; select "end"; end',
    "create function f() returns int language sql as 'select 1; commit;'",
    'create function f() returns int language plpgsql as $$ begin return 1; end $$',
  ])('%j is one statement that controls nothing', (text) => {
    expect(scanStatement(text)).toMatchObject({ control: { kind: 'none' }, statements: 1 });
  });

  it.each([
    'create function f() returns int begin atomic select 1; end; commit',
    'create function f() returns int begin atomic select case 1 when 1 then 2 end; end; commit',
    'create function f() returns int language plpgsql as $$ begin return 1; end $$; commit',
  ])('%j hides a COMMIT behind it: refused', (text) => {
    expect(controlOf(text)).toMatchObject({ kind: 'refused' });
  });
});

describe('what outlives the transaction in the session', () => {
  it.each([
    "set search_path = 'x'",
    'SET SESSION statement_timeout = 1',
    'set role postgres',
    'set session characteristics as transaction isolation level serializable',
    'set session authorization postgres',
    'reset all',
    'reset role',
    'listen a',
    'unlisten *',
    "load 'x'",
    'prepare a as select 1',
    'discard plans',
    'deallocate a',
    'declare c cursor with hold for select 1',
    'create temp table t (id int)',
    'create temporary view v as select 1',
    'create table pg_temp.t (id int)',
    'create function pg_temp.f() returns int language sql as $$ select 1 $$',
    'select 1 into temp t',
    "select set_config('a.b', 'c', false)",
    "select set_config ('a.b', 'c', false)",
    "select set_config/**/('a.b', 'c', false)",
    `select "set_config"('a.b', 'c', false)`,
    "update pg_settings set setting = 'x' where name = 'search_path'",
    "select 1; set search_path = 'x'",
  ])('%j does', (text) => {
    expect(scanStatement(text).leavesSessionState).toBe(true);
  });

  it.each([
    "set local search_path = 'x'",
    'set transaction isolation level serializable',
    'set constraints all immediate',
    'declare c cursor for select 1',
    'update t set a = 1',
    'select 1',
    'insert into attempt values (1)',
  ])('%j does not', (text) => {
    expect(scanStatement(text).leavesSessionState).toBe(false);
  });
});

describe('effects without a transaction id', () => {
  it.each([
    'notify a',
    "NOTIFY a, 'b'",
    "select pg_notify('a', 'b')",
    'listen a',
    'unlisten a',
    'unlisten *',
    'select 1; notify a',
    "with sent as (select pg_notify('a', 'b')) select * from sent",
    'with a as (insert into far values (1) returning id) select * from a',
    'with a as (select 1), b as (delete from far returning id) select * from b',
    '/* a */ with a as (merge into far using x on true when matched then delete) select 1',
    'explain analyze update far set id = 1',
    'do $$ begin perform f(); end $$',
    'call f()',
    'execute f',
  ])('%j has some', (text) => {
    expect(scanStatement(text).notifies).toBe(true);
  });

  it.each([
    'select 1',
    'select notified from t',
    'update t set listener = 1',
    'insert into t values (1)',
    'with a as (select 1) select * from a',
    'explain analyze select 1',
  ])('%j has none that its command tag does not tell', (text) => {
    expect(scanStatement(text).notifies).toBe(false);
  });
});

describe('the memory of scans', () => {
  it('more texts than it keeps, and texts that are too long for it: the same answers', () => {
    const long = `select '${'x'.repeat(10_000)}'; commit`;
    const first = scanStatement('select 1; commit');
    for (let index = 0; index < 5_000; index += 1) {
      expect(scanStatement(`select ${index}; commit`)).toEqual(first);
    }
    expect(scanStatement('select 1; commit')).toEqual(first);
    expect(scanStatement(long)).toEqual(first);
    expect(scanStatement(long)).toEqual(first);
  });
});
