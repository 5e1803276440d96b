/**
 * The JSON of every verb, as real servers make it, against the schema that is shipped, and against one that
 * refuses whatever is not described in it.
 */
import { readFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import {
  DOCUMENTS,
  outputSchema,
  outputSchemaText,
  SCHEMA_FILE,
} from '../../scripts/output-schema.ts';
import { BUILD_TIMEOUT_MS, builtCli } from '../support/built-cli.ts';
import { plant, SUBSCRIPTION_GID } from '../support/planted.ts';
import { createTriageBank, type TriageBank } from '../support/triage-bank.ts';

vi.setConfig({ testTimeout: 120_000 });

const CONFIRMED = ['--yes', '--reason', 'incident 4711'];

describe('the schema of the output', () => {
  let bank: TriageBank;
  const seen = new Set<string>();
  beforeAll(async () => {
    await builtCli();
    bank = await createTriageBank();
  }, BUILD_TIMEOUT_MS);
  afterAll(() => bank.close());

  /** Runs a verb with -o json; its output has to be what the schema says, and nothing else. */
  async function expectValid(name: keyof typeof DOCUMENTS, ...args: string[]): Promise<void> {
    const { data } = await bank.json<object>(...args);
    expect(data.schema).toBe(name);
    seen.add(name);
    for (const schema of [
      JSON.parse(await readFile(SCHEMA_FILE, 'utf8')) as object,
      outputSchema({ strict: true }),
    ]) {
      expect(errorsOf(schema, data), `${args.join(' ')}: ${JSON.stringify(data, null, 1)}`).toBe(
        '',
      );
    }
  }

  function errorsOf(schema: object, data: unknown): string {
    const ajv = new Ajv2020({ strict: false, discriminator: false });
    addFormats.default(ajv);
    const validate = ajv.compile(schema);
    return validate(data) ? '' : ajv.errorsText(validate.errors);
  }

  it('is the one that npm run schema makes', async () => {
    expect(await readFile(SCHEMA_FILE, 'utf8')).toBe(await outputSchemaText());
  });

  it('fits what every verb prints: two participants, every verdict, foreign branches, blocked sessions', async () => {
    await bank.plantBlocking();
    await plant(bank.participant('orders'), SUBSCRIPTION_GID);
    const committed = await bank.plant({
      coordinator: 'retired',
      decision: 'commit',
      label: 'order 1',
    });
    const aborted = await bank.plant({ coordinator: 'live', decision: 'abort' });
    const undecided = await bank.plant({ coordinator: 'silent' });
    await bank.plant({ coordinator: 'unregistered' });

    await expectValid('pgxa.survey/1', 'list');
    await expectValid('pgxa.explanation/1', 'show', committed.id);
    await expectValid('pgxa.explanation/1', 'explain', undecided.id);
    await expectValid('pgxa.explanation/1', 'explain', SUBSCRIPTION_GID);
    await expectValid('pgxa.check/1', 'check', '--age', '0', '--foreign');
    await expectValid('pgxa.observations/1', 'recover', '--dry-run');
    await expectValid('pgxa.coordinators/1', 'coordinators', '--all');
    await expectValid('pgxa.plan/1', 'resolve', '--all', '--dry-run');
    await expectValid('pgxa.resolution/1', 'resolve', aborted.id, '--yes');
    await expectValid('pgxa.force/1', 'force', 'rollback', undecided.id, ...CONFIRMED);
    const against = ['force', 'rollback', committed.id, ...CONFIRMED, '--override'];
    await expectValid('pgxa.force/1', ...against);
    await expectValid('pgxa.survey/1', 'list');
    await expectValid('pgxa.forgotten/1', 'forget', committed.id, ...CONFIRMED);
    await expectValid('pgxa.history/1', 'history');
    await expectValid('pgxa.audit/1', 'history', '--audit');
    await expectValid('pgxa.recovery/1', 'recover');
    await expectValid('pgxa.diagnosis/1', 'doctor');
    expect([...seen].sort()).toEqual(Object.keys(DOCUMENTS).sort());
  });

  it('fits what is printed while a participant, and the log, do not answer', async () => {
    const away = 'postgres://u@127.0.0.1:1/nowhere';
    const orders = bank.participant('orders').connectionString;
    const { id } = await bank.plant({ coordinator: 'silent', on: ['orders'] });
    const partial = await bank.writeConfig('partial.yaml', { orders, billing: away });
    const lost = await bank.writeConfig('lost.yaml', { orders }, away);
    for (const config of [partial, lost]) {
      await expectValid('pgxa.survey/1', 'list', '--config', config);
      await expectValid('pgxa.explanation/1', 'explain', id, '--config', config);
      await expectValid('pgxa.diagnosis/1', 'doctor', '--config', config);
    }
    await expectValid('pgxa.recovery/1', 'recover', '--config', partial);
  });

  it('refuses another document, and one that lacks what it promises', () => {
    const schema = outputSchema({ strict: false });
    expect(errorsOf(schema, { schema: 'pgxa.survey/2' })).not.toBe('');
    expect(errorsOf(schema, { schema: 'pgxa.history/1' })).not.toBe('');
    const more = { schema: 'pgxa.history/1', decisions: [], more: 1 };
    expect(errorsOf(schema, more)).toBe('');
    expect(errorsOf(outputSchema({ strict: true }), more)).not.toBe('');
  });
});
