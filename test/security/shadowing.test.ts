import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { TransactionScope } from '../../src/index.ts';
import { Inspector } from '../../src/triage/inspector.ts';
import { checkMarkers } from '../support/atomicity.ts';
import { createBank, type Bank } from '../support/bank.ts';
import { gidIn, plant, rollbackAll } from '../support/planted.ts';
import { startControlledServer, type TestServer } from '../support/servers.ts';

/**
 * Whoever may create functions on a participant puts some in the way of the server's own: beside them with a better
 * fit, or in front of them by the search path of the database. Expected: none of them runs as pgxa's login, and none
 * answers in the place of the server.
 */
describe("functions in the way of the server's own", () => {
  let server: TestServer;
  let bank: Bank;

  beforeEach(async () => {
    server = await startControlledServer();
    bank = await createBank({ servers: [server], logServer: server });
    await server.query('postgres', 'create role mallory login');
  });
  afterEach(async () => {
    for (const one of bank.participants) await rollbackAll(one);
    await bank.close();
    await server.destroy();
  });

  const asMallory = async (name: string, text: string): Promise<void> => {
    const { database } = bank.participant(name);
    const connectionString = server.connectionString(database, { user: 'mallory' });
    const client = new pg.Client({ connectionString });
    await client.connect();
    await client.query(text);
    await client.end();
  };
  /** A branch on orders whose coordinator is dead. */
  const plantUndecided = async (): Promise<void> => {
    const epoch = randomBytes(8).toString('hex');
    await bank.log.query(
      `insert into pgxa.coordinator (epoch, name, host, pid, version, retired_at, retired_by)
       values ($1, 'dead', 'h', 1, '0', now(), 'recovery')`,
      [epoch],
    );
    await plant(
      bank.participant('orders'),
      await gidIn(bank.log, { epoch, transactionId: uuidv7() }),
    );
  };
  /** Schema `s` in front of everything, with what a session of pgxa calls, and a table of who called it. */
  const shadow = async (name: string): Promise<void> => {
    const { database } = bank.participant(name);
    await server.query('postgres', `alter database "${database}" owner to mallory`);
    await asMallory(
      name,
      `create schema s;
       create table s.seen (who text, what text);
       grant all on schema s to public;
       grant all on s.seen to public;
       create view s.pg_prepared_xacts as select * from pg_catalog.pg_prepared_xacts where false;
       grant select on s.pg_prepared_xacts to public;
       create function s.note(what text) returns void language sql as
         $f$ insert into s.seen values (current_user, what) $f$;
       ${SHADOWS.map(
         ([head, answer]) =>
           `create function s.${head} language plpgsql as
              $f$ begin perform s.note('${head.replaceAll("'", '')}'); return ${answer}; end $f$;`,
       ).join('\n')}
       create function s.name_eq(name, name) returns boolean language plpgsql as
         $f$ begin perform s.note('='); return false; end $f$;
       create operator s.= (leftarg = name, rightarg = name, function = s.name_eq);
       create function s.text_eq(text, text) returns boolean language plpgsql as
         $f$ begin perform s.note('= of text'); return false; end $f$;
       create operator s.= (leftarg = text, rightarg = text, function = s.text_eq);
       alter database "${database}" set search_path = s, pg_catalog, public;`,
    );
  };
  const seen = (name: string) => bank.participant(name).query('select distinct * from s.seen');

  it('beside them, in a schema that everybody may create in: recovery and triage do not call it', async () => {
    await bank.participant('orders').query('grant create on schema public to mallory');
    await asMallory(
      'orders',
      `create table public.seen (who text);
       grant all on public.seen to public;
       create function public.jsonb_build_object(text, jsonb, text, text, text, bigint, text, jsonb)
         returns jsonb language plpgsql as $f$ begin
           insert into public.seen values (current_user);
           return pg_catalog.jsonb_build_object($1, $2, $3, $4, $5, $6, $7, '[]'::jsonb);
         end $f$;`,
    );
    await plantUndecided();
    await using operator = bank.operator();
    expect((await operator.survey()).transactions).toHaveLength(1);
    expect(await operator.recover()).toMatchObject({ rolledBack: 1, complete: true });
    expect(await bank.participant('orders').query('select * from public.seen')).toEqual([]);
  });

  it('in front of them: what is in doubt is seen and finished all the same', async () => {
    await shadow('orders');
    await plantUndecided();
    await using operator = bank.operator();
    const found = await operator.find(
      (await operator.survey()).transactions[0]?.transactionId ?? '',
    );
    await operator.explain(found, { rows: true });
    expect(await operator.recover()).toMatchObject({ rolledBack: 1, complete: true });
    expect(await seen('orders')).toEqual([]);
  });

  it('in front of them, in the sessions of the application: a writer is no reader, and its vote is its own', async () => {
    await shadow('orders');
    const tm = await bank.manager();
    const id = await tm.run(async (tx: TransactionScope) => {
      for (const { name } of bank.participants) {
        await tx.on(name).query('insert into marker values ($1)', [tx.id]);
      }
      return tx.id;
    });
    expect((await checkMarkers(bank, 2)).whole).toEqual(new Set([id]));
    const [decision] = await bank.log.query('select branches from pgxa.decision');
    const [row] = await bank.participant('orders').query('select xmin::text as xid from marker');
    expect(decision?.['branches']).toContainEqual(
      expect.objectContaining({ participant: 'orders', xid: row?.['xid'] }),
    );
    expect(await seen('orders')).toEqual([]);
  });

  it('in front of them, in the database of the log', async () => {
    await server.query('postgres', `alter database "${bank.log.database}" owner to mallory`);
    const client = new pg.Client({
      connectionString: server.connectionString(bank.log.database, { user: 'mallory' }),
    });
    await client.connect();
    await client.query(
      `create schema s;
       create table s.seen (who text);
       grant all on schema s to public;
       grant all on s.seen to public;
       create function s.pg_is_in_recovery() returns boolean language plpgsql as
         $f$ begin insert into s.seen values (current_user); return false; end $f$;
       alter database "${bank.log.database}" set search_path = s, pg_catalog;`,
    );
    await client.end();
    await using operator = bank.operator();
    expect((await operator.survey()).log.status).toBe('reachable');
    await (await bank.manager()).recover();
    expect(await bank.log.query('select * from s.seen')).toEqual([]);
  });

  it('the policies of a table are not run to show its rows: it is an error, and told as one', async () => {
    // The operator's login is no superuser, so row security would hold for it.
    const orders = bank.participant('orders');
    await server.query('postgres', 'create role watcher login');
    await orders.query('grant create on schema public to mallory');
    await asMallory(
      'orders',
      `create table public.t (id int primary key, n int);
       insert into public.t values (1, 1);
       grant select on t to public;
       create function public.spy() returns boolean language plpgsql as
         $f$ begin raise exception 'ran as %', current_user; end $f$;
       alter table t enable row level security;
       create policy p on t using (public.spy());`,
    );
    const gid = await gidIn(bank.log, { epoch: 'a'.repeat(16), transactionId: uuidv7() });
    await asMallory('orders', `begin; update public.t set n = 2; prepare transaction '${gid}';`);
    const inspector = new Inspector({
      name: 'orders',
      settings: { connectionString: server.connectionString(orders.database, { user: 'watcher' }) },
      connectTimeoutMs: 2_000,
      commandTimeoutMs: 2_000,
    });
    expect(await inspector.touchedRows(gid)).toMatchObject([
      { relation: 'public.t', rows: [], error: expect.stringMatching(/row security/) as string },
    ]);
    await inspector.close();
  });

  it('a cast that the owner of a type has made is not called for the rows that are shown', async () => {
    await bank.participant('orders').query('grant create on schema public to mallory');
    await asMallory(
      'orders',
      `create table public.seen (who text);
       grant all on public.seen to public;
       create type public.mood as enum ('sad', 'glad');
       create function public.spy(public.mood) returns json language plpgsql as
         $f$ begin raise exception 'ran as %', current_user; end $f$;
       create cast (public.mood as json) with function public.spy(public.mood);
       create table public.t ("a\\'b" public.mood primary key, n int);
       insert into public.t values ('sad', 1);`,
    );
    await asMallory(
      'orders',
      `begin;
       update public.t set n = 2;
       prepare transaction '${await gidIn(bank.log, { epoch: 'a'.repeat(16), transactionId: uuidv7() })}';`,
    );
    await using operator = bank.operator();
    const found = await operator.find(
      (await operator.survey()).transactions[0]?.transactionId ?? '',
    );
    const { details } = await operator.explain(found, { rows: true });
    expect(details[0]?.rows).toMatchObject([
      { relation: 'public.t', rows: [`{"a\\\\'b": "sad"}`], error: undefined },
    ]);
  });
});

/** Heads of functions that pgxa's statements would call, and what they answer instead. */
const SHADOWS: readonly (readonly [string, string])[] = [
  ['pg_is_in_recovery() returns boolean', 'false'],
  ['pg_backend_pid() returns int', '1'],
  ['pg_current_xact_id_if_assigned() returns xid8', 'null'],
  ['pg_current_xact_id() returns xid8', 'null'],
  ['set_config(text, text, boolean) returns text', "''"],
  ['pg_advisory_unlock_all() returns text', "''"],
  ['current_database() returns name', "'elsewhere'"],
  ['current_setting(text) returns text', "'0'"],
];
