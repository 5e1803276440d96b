/** The mapping of errors to meanings is total: no value is left without one, none throws. */
import fc from 'fast-check';
import pg from 'pg';
import { describe, expect, it } from 'vitest';

import {
  connectConfigurationHint,
  isConnectionLoss,
  isRetryable,
  meaningOfFinishFailure,
  meaningOfPrepareFailure,
  sqlstateOf,
} from '../../src/participant/sqlstate.ts';

function serverError(code: string): Error {
  const error = new pg.DatabaseError('from the server', 0, 'error');
  error.code = code;
  error.severity = 'ERROR';
  return error;
}

function systemError(code: string): Error {
  return Object.assign(new Error(`write ${code}`), { code, errno: -32, syscall: 'write' });
}

/** Wraps as deep as it is told, as ORMs do. */
function wrapped(error: unknown, depth: number): unknown {
  let outer = error;
  for (let level = 0; level < depth; level += 1) outer = new Error('wrapper', { cause: outer });
  return outer;
}

describe('the SQLSTATE of an error', () => {
  it.each(['42704', '40001', '0A000', 'XX000', 'P0001', '57P01', 'HV000', '08006'])(
    '%s of the server: found, bare and wrapped',
    (code) => {
      expect(sqlstateOf(serverError(code))).toBe(code);
      expect(sqlstateOf(wrapped(serverError(code), 1))).toBe(code);
      expect(sqlstateOf(wrapped(serverError(code), 5))).toBe(code);
    },
  );

  it('a server error class of another copy of pg, or plain data: found all the same', () => {
    expect(sqlstateOf({ code: '23505', severity: 'ERROR' })).toBe('23505');
    expect(sqlstateOf({ code: '23505' })).toBe('23505');
  });

  it('a made-up SQLSTATE that looks like a code of Node, with a severity beside it: found', () => {
    expect(sqlstateOf({ code: 'EPIPE', severity: 'ERROR' })).toBe('EPIPE');
  });

  it.each([
    'EPIPE',
    'EBUSY',
    'ESRCH',
    'EIO',
    'ECONNRESET',
    'ECONNREFUSED',
    'ETIMEDOUT',
    'ENOTFOUND',
  ])('%s of Node: none', (code) => {
    expect(sqlstateOf(systemError(code))).toBeUndefined();
  });

  it('a wrapper with a code of its own: that of the cause is found', () => {
    const wrapper = Object.assign(new Error('orm', { cause: serverError('40P01') }), {
      code: 'ERR_QUERY_FAILED',
    });
    expect(sqlstateOf(wrapper)).toBe('40P01');
  });

  it('an endless chain of causes: none, and it ends', () => {
    const error = new Error('a');
    error.cause = error;
    expect(sqlstateOf(error)).toBeUndefined();
    expect(sqlstateOf(wrapped(serverError('40001'), 1_000))).toBeUndefined();
  });
});

describe('what is not known to be harmless is "unknown"', () => {
  it.each([
    '08000',
    '08001',
    '08003',
    '08004',
    '08006',
    '08P01',
    '57P01',
    '57P02',
    '57P03',
    '57P04',
    '57P05',
    '25P03',
    '25P04',
  ])('%s: the session is gone, so a vote in flight is unknown', (code) => {
    expect(isConnectionLoss(serverError(code))).toBe(true);
    expect(meaningOfPrepareFailure(serverError(code)).vote).toBe('unknown');
    expect(meaningOfFinishFailure(serverError(code))).toBe('retry');
  });

  it.each(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND'])(
    '%s without a severity: unknown, retryable, and no outcome of a finish',
    (code) => {
      const error = systemError(code);
      expect(isConnectionLoss(error)).toBe(true);
      expect(meaningOfPrepareFailure(error)).toMatchObject({ vote: 'unknown', retryable: true });
      expect(meaningOfFinishFailure(error)).toBe('retry');
      expect(connectConfigurationHint(error)).toBeUndefined();
    },
  );

  it.each([
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
    new AggregateError([systemError('ECONNREFUSED')], 'all addresses'),
    'a text',
    undefined,
    null,
    0,
    {},
    { code: 57_014 },
    { code: 'toolong' },
    { code: 'abcde' },
  ])('%o: unknown', (thrown) => {
    expect(isConnectionLoss(thrown)).toBe(true);
    expect(meaningOfPrepareFailure(thrown).vote).toBe('unknown');
    expect(meaningOfFinishFailure(thrown)).toBe('retry');
  });

  it.each([new TypeError('cannot encode'), new RangeError('out of range')])(
    '%o was thrown before anything was sent: no connection loss',
    (thrown) => {
      expect(isConnectionLoss(thrown)).toBe(false);
      expect(meaningOfPrepareFailure(thrown).vote).toBe('no');
    },
  );

  it.each([
    '40001',
    '40P01',
    '55P03',
    '53200',
    '53300',
    '57P01',
    '57P02',
    '57P03',
    '57P05',
    '25006',
    '08006',
  ])('%s: running again can help', (code) => {
    expect(isRetryable(serverError(code))).toBe(true);
  });

  it.each([
    '23505',
    '23503',
    '42710',
    '42601',
    '0A000',
    '22023',
    '57014',
    '42501',
    'P0001',
    'XX000',
    '25P02',
    '55000',
  ])('%s: surely rolled back, and running again would fail again', (code) => {
    expect(isConnectionLoss(serverError(code))).toBe(false);
    expect(isRetryable(serverError(code))).toBe(false);
    expect(meaningOfPrepareFailure(serverError(code))).toMatchObject({
      vote: 'no',
      retryable: false,
    });
  });
});

describe('any value', () => {
  const states = fc.string({
    unit: fc.constantFrom(...'0123456789ABCDEFHPSUVWXYZ'.split('')),
    minLength: 5,
    maxLength: 5,
  });
  const errors = fc.oneof(
    fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true }),
    states.map(serverError),
    fc.record({ code: fc.anything(), severity: fc.anything(), cause: fc.anything() }),
    fc.tuple(states.map(serverError), fc.nat(12)).map(([error, depth]) => wrapped(error, depth)),
  );

  it('has a meaning in every question, and none of them throws', () => {
    fc.assert(
      fc.property(errors, (thrown) => {
        expect(['no', 'unknown']).toContain(meaningOfPrepareFailure(thrown).vote);
        expect(['retry', 'absent', 'denied']).toContain(meaningOfFinishFailure(thrown));
        expect(sqlstateOf(thrown) ?? '00000').toMatch(/^[0-9A-Z]{5}$/);
        expect([true, false]).toContain(isRetryable(thrown));
        expect(['string', 'undefined']).toContain(typeof connectConfigurationHint(thrown));
      }),
      { numRuns: 2_000 },
    );
  });

  it('"no" is never said of an error without an SQLSTATE that Node or the network made', () => {
    fc.assert(
      fc.property(errors, (thrown) => {
        fc.pre(sqlstateOf(thrown) === undefined);
        expect(meaningOfPrepareFailure(thrown).vote).toBe('unknown');
      }),
      { numRuns: 500 },
    );
  });

  it('"absent" is said of 42704 only, "denied" of 42501 only', () => {
    fc.assert(
      fc.property(states, (code) => {
        const meaning = meaningOfFinishFailure(serverError(code));
        expect(meaning === 'absent').toBe(code === '42704');
        expect(meaning === 'denied').toBe(code === '42501');
      }),
    );
    expect(meaningOfFinishFailure(serverError('42704'))).toBe('absent');
    expect(meaningOfFinishFailure(wrapped(serverError('42501'), 2))).toBe('denied');
  });
});
