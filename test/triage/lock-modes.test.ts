/** The modes that conflict, held against a real server: what is said of who blocks whom must be its own answer. */
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { conflicts } from '../../src/triage/blocking.ts';
import { createDatabases, sharedServer } from '../support/shared-server.ts';

const MODES = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
];

/** ROW SHARE as pg_locks writes it: RowShareLock */
const nameOf = (mode: string): string =>
  `${mode
    .split(' ')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join('')}Lock`;

let holder: pg.Client;
let other: pg.Client;
beforeAll(async () => {
  const [database] = await createDatabases(1, 'modes');
  const connectionString = (await sharedServer()).connectionString(String(database));
  holder = new pg.Client({ connectionString });
  other = new pg.Client({ connectionString });
  await Promise.all([holder.connect(), other.connect()]);
  await holder.query('create table item (id int)');
});
afterAll(async () => {
  await Promise.all([holder.end(), other.end()]);
});

it.each(MODES)('a holder of %s shuts out those modes that the server says', async (held) => {
  await holder.query(`begin; lock table item in ${held} mode`);
  for (const wanted of MODES) {
    await other.query('begin');
    const isFree = await other.query(`lock table item in ${wanted} mode nowait`).then(
      () => true,
      () => false,
    );
    await other.query('rollback');
    expect([held, wanted, conflicts(nameOf(held), nameOf(wanted))]).toEqual([
      held,
      wanted,
      !isFree,
    ]);
  }
  await holder.query('rollback');
});
