/** Why a branch is opened as one unit: a statement never runs outside of its transaction. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { SyncUnit } from '../../src/postgres/sync-unit.ts';
import { ownStep, queryStep } from '../../src/postgres/unit-steps.ts';
import { createBank, type Bank } from '../support/bank.ts';

let bank: Bank;
beforeAll(async () => {
  bank = await createBank({ participants: ['orders'] });
});
afterAll(() => bank.close());

describe('a unit of several statements under one Sync', () => {
  it('its first statement fails: the others are skipped; pipelined with a Sync each, one would run', async () => {
    const { connectionString } = bank.participant('orders');
    const client = new pg.Client({ connectionString });
    await client.connect();
    (client as { pipeline: boolean }).pipeline = true;
    const count = async (): Promise<number | null> =>
      (await client.query('select 1 from parent')).rowCount;

    // What the unit protects from, shown to be real.
    const begin = client.query('begin isolation level nonsense');
    const insert = client.query('insert into parent values (8)');
    await expect(begin).rejects.toMatchObject({ code: '42601' });
    await insert;
    expect(await count()).toBe(1);
    await client.query('delete from parent');

    (client as { pipeline: boolean }).pipeline = false;
    const steps = [
      ownStep('begin isolation level nonsense'),
      queryStep({ text: 'insert into parent values ($1)', values: [9] }),
      queryStep({ text: 'select 1' }),
    ];
    const unit = new SyncUnit(steps);
    client.query(unit);
    await expect(unit.done).rejects.toMatchObject({ code: '42601' });
    for (const step of steps) expect(step).not.toHaveProperty('result');
    expect(steps[0]).not.toHaveProperty('command');
    expect(await count()).toBe(0);
    await client.end();
  });
});
