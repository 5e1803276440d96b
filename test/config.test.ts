import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';

import { parseConfig, parseRunOptions } from '../src/config.ts';
import {
  ConfigError,
  createTransactionManager,
  migrateDecisionLog,
  MisuseError,
  type PgxaError,
} from '../src/index.ts';

const url = 'postgresql://app@127.0.0.1:1/log';
const valid = {
  coordinator: 'checkout',
  decisionLog: { connectionString: url },
  participants: { orders: { connectionString: url } },
};
const SECRET = 'hunter2-canary';

function refusal(input: unknown): PgxaError {
  try {
    parseConfig(input);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ code: 'PGXA_CONFIG_INVALID' });
    return error as PgxaError;
  }
  throw new Error('the configuration was not refused');
}

describe('parseConfig', () => {
  it('fills in the defaults, and freezes what it returns', () => {
    const config = parseConfig(valid);
    expect(config).toMatchObject({
      timeoutMs: 30_000,
      heartbeatLimitMs: 10_000,
      connectTimeoutMs: 5_000,
      participants: { orders: { connectionString: url, lockTimeoutMs: 10_000 } },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each([
    ['postgres://app@db/orders'],
    ['postgresql://app:p%40ss@db:5432/orders?sslmode=verify-full'],
    ['postgresql://app@/orders?host=/var/run/postgresql'],
    ['postgresql://%2Fvar%2Frun%2Fpostgresql/orders'],
    ['socket:/var/run/postgresql?db=orders'],
    ['/var/run/postgresql orders'],
  ])('takes what node-postgres takes: %s', (connectionString) => {
    expect(parseConfig({ ...valid, decisionLog: { connectionString } })).toMatchObject({
      decisionLog: { connectionString },
    });
  });

  it.each([
    [{ host: 'db' }],
    [{ database: 'orders' }],
    [{ host: 'db', port: 5432, user: 'u', password: 'p', database: 'd', ssl: true }],
    [{ host: 'db', user: 'u', password: () => 'rotating' }],
    [{ connectionString: url, ssl: { ca: 'x' } }],
  ])('takes settings in the place of a URL: %j', (settings) => {
    expect(() => parseConfig({ ...valid, participants: { orders: settings } })).not.toThrow();
  });

  it.each([
    ['top level', { ...valid, coordinater: 'x' }, '(top level): Unrecognized key: "coordinater"'],
    [
      'log',
      { ...valid, decisionLog: { connectionString: url, databse: 'x' } },
      'decisionLog: Unrecognized key: "databse"',
    ],
    [
      'participant',
      { ...valid, participants: { orders: { connectionString: url, Max: 3 } } },
      'participants.orders: Unrecognized key: "Max"',
    ],
  ])('refuses an unknown key: %s', (_, input, message) => {
    expect(refusal(input).message).toContain(message);
  });

  it.each([
    [undefined, '(top level)', 'expected object'],
    [null, '(top level)', 'expected object'],
    ['postgresql://x', '(top level)', 'expected object'],
    [{ ...valid, coordinator: '' }, 'coordinator', '>=1'],
    [{ ...valid, coordinator: 7 }, 'coordinator', 'expected string'],
    [{ ...valid, coordinator: 'x'.repeat(201) }, 'coordinator', '<=200'],
    [{ ...valid, decisionLog: {} }, 'decisionLog', 'expected connectionString'],
    [{ ...valid, decisionLog: { user: 'x' } }, 'decisionLog', 'expected connectionString'],
    [{ ...valid, decisionLog: { host: 'h', port: 0 } }, 'decisionLog.port', '>=1'],
    [{ ...valid, decisionLog: { host: 'h', port: '5432' } }, 'decisionLog.port', 'number'],
    [
      { ...valid, decisionLog: { host: 'h', password: 7 } },
      'decisionLog.password',
      'a string, or a',
    ],
    [
      { ...valid, decisionLog: { host: 'h', ssl: 'on' } },
      'decisionLog.ssl',
      'expected true, false',
    ],
    [{ ...valid, participants: {} }, 'participants', 'at least one'],
    [{ ...valid, participants: [] }, 'participants', 'expected record'],
    [{ ...valid, participants: { orders: {} } }, 'participants.orders', 'connectionString, pool'],
    [{ ...valid, participants: { '1st': { host: 'h' } } }, 'participants.1st', 'expected a letter'],
    [{ ...valid, participants: { ['a'.repeat(64)]: { host: 'h' } } }, 'participants.a', '62'],
    [{ ...valid, participants: { o: { pool: {} } } }, 'participants.o.pool', 'connect()'],
    [
      { ...valid, participants: { o: { pool: { connect: () => null }, max: 3 } } },
      'participants.o.max',
      'where you make it',
    ],
    [{ ...valid, participants: { o: { host: 'h', max: 0 } } }, 'participants.o.max', '>=1'],
    [{ ...valid, timeoutMs: 0 }, 'timeoutMs', '>=1'],
    [{ ...valid, timeoutMs: 1.5 }, 'timeoutMs', 'expected int'],
    [{ ...valid, timeoutMs: Number.NaN }, 'timeoutMs', 'expected number'],
    [{ ...valid, heartbeatLimitMs: 10 }, 'heartbeatLimitMs', '>=1000'],
    [{ ...valid, connectTimeoutMs: 0 }, 'connectTimeoutMs', '>=1'],
  ])('refuses %j: names %s and what is expected', (input, path, expectation) => {
    const { message } = refusal(input);
    expect(message).toContain(path);
    expect(message).toContain(expectation);
  });

  it.each(['host', 'user', 'password', 'database', 'port'])(
    'refuses %s beside connectionString, where node-postgres would silently ignore it',
    (key) => {
      const second = { connectionString: url, [key]: key === 'port' ? 5432 : SECRET };
      const { message } = refusal({ ...valid, decisionLog: second, participants: { o: second } });
      expect(message).toContain(`decisionLog.${key}: has no effect beside connectionString`);
      expect(message).toContain(`participants.o.${key}: has no effect beside connectionString`);
      expect(message).not.toContain(SECRET);
    },
  );

  it('names everything that is wrong at once', () => {
    const { message } = refusal({
      coordinator: 7,
      decisionLog: { host: 'h', port: 'x' },
      participants: { a: { host: 'h', max: -1 }, b: { conectionString: 'x' } },
      timeoutMs: 'soon',
      extra: 1,
    });
    for (const path of [
      'coordinator:',
      'decisionLog.port:',
      'participants.a.max:',
      'participants.b: Unrecognized key: "conectionString"',
      'timeoutMs:',
      '"extra"',
    ]) {
      expect(message).toContain(path);
    }
  });

  it.each([
    `host=db user=app password=${SECRET}`,
    `postgresql://app:${SECRET}@db:port/orders`,
    `postgresql://app:${SECRET}@db:99999/orders`,
    `postgresql://app:${SECRET}/@db/orders`,
    `mysql://app:${SECRET}@db/orders`,
    `app:${SECRET}@db/orders`,
    '',
  ])('refuses what node-postgres would misread, without repeating it: %s', async (text) => {
    for (const input of [
      { ...valid, decisionLog: { connectionString: text } },
      { ...valid, participants: { orders: { connectionString: text } } },
    ]) {
      const error = refusal(input);
      expect(error.message).toContain('connectionString: expected a URL such as postgresql://');
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
    }
    await expect(migrateDecisionLog({ connectionString: text })).rejects.toMatchObject({
      code: 'PGXA_CONFIG_INVALID',
    });
  });

  it.each([
    [{ ...valid, decisionLog: { host: 'h', password: SECRET, port: 'x' } }],
    [{ ...valid, decisionLog: { host: 'h', password: [SECRET] } }],
    [{ ...valid, decisionLog: { host: 'h', password: SECRET, ssl: SECRET } }],
    [{ ...valid, decisionLog: `postgresql://app:${SECRET}@db/log` }],
    [{ ...valid, participants: { o: `postgresql://app:${SECRET}@db/o` } }],
    [{ ...valid, participants: [`postgresql://app:${SECRET}@db/o`] }],
    [{ ...valid, coordinator: { password: SECRET } }],
    [{ ...valid, timeoutMs: SECRET }],
    [SECRET],
  ])('never repeats a value: %#', async (input) => {
    const error: unknown = await createTransactionManager(input as never).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'PGXA_CONFIG_INVALID' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(SECRET);
  });
});

describe('parseRunOptions', () => {
  it.each([
    [{ timeout: 5 }, 'Unrecognized key: "timeout"'],
    [{ timeoutMs: -1 }, 'timeoutMs: '],
    [{ label: 'x'.repeat(201) }, 'label: '],
    [{ idempotencyKey: '' }, 'idempotencyKey: '],
    [{ idempotencyKey: 'x'.repeat(201) }, 'idempotencyKey: '],
    [{ isolationLevel: 'snapshot' }, 'isolationLevel: '],
    [{ signal: 'now' }, 'signal: expected an AbortSignal'],
    [{ retry: 3 }, 'retry: '],
    [{ retry: { attempts: 0 } }, 'retry.attempts: '],
    [{ retry: { attempts: 3, delay: 1 } }, 'retry: Unrecognized key: "delay"'],
    [7, '(top level): '],
  ])('refuses %j: %s', (input, message) => {
    try {
      parseRunOptions(input);
    } catch (error) {
      expect(error).toBeInstanceOf(MisuseError);
      expect((error as PgxaError).code).toBe('PGXA_INVALID_ARGUMENT');
      expect((error as PgxaError).message).toContain(message);
      return;
    }
    throw new Error('the options were not refused');
  });
});
