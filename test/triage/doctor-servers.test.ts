/**
 * The checks of `pgxa doctor` over the facts of a server, each with one thing wrong: what no server can be made to
 * show in a test, and where one severity ends and the next begins. On real servers: test/cli/doctor.test.ts.
 */
import { describe, it } from 'vitest';

import {
  answered,
  condition,
  expectFinding,
  inLog,
  inOrders,
  participant,
  role,
  type Wrong,
} from './doctor-facts.ts';

const STANDBY = "synchronous_standby_names is 's1'";
const NAMES = { synchronous_standby_names: 's1' };

describe('the checks of doctor on a server', () => {
  it.each<[string, string, Wrong, RegExp]>([
    ['fault', 'fsync', inLog({ fsync: 'off' }), /loses what the server has promised/],
    ['fault', 'fsync', inOrders({ fsync: 'off' }), /fsync is off/],
    ['warning', 'full_page_writes', inLog({ full_page_writes: 'off' }), /torn pages/],
    [
      'warning',
      'synchronous_commit',
      inLog({ synchronous_commit: 'off' }),
      /by alter database: the sessions of pgxa overrule/,
    ],
    [
      'fault',
      'synchronous_commit',
      inLog({ synchronous_commit: 'off' }, { pooler: 'transaction' }),
      /can lose decisions/,
    ],
    [
      'warning',
      'synchronous_commit',
      inOrders({ synchronous_commit: 'off' }),
      /plain COMMIT of a transaction with one writer/,
    ],
    [
      'warning',
      'synchronous_commit',
      inOrders({}, { otherDefaults: [{ role: 'shop', value: 'off' }] }),
      /off for shop/,
    ],
    [
      'fault',
      'standbys',
      inLog(NAMES, { standbys: { connected: 1, synchronous: 0 } }),
      /every commit waits without end/,
    ],
    ['fault', 'standbys', inOrders(NAMES), new RegExp(STANDBY)],
    [
      'warning',
      'standbys',
      inLog(
        { ...NAMES, synchronous_commit: 'local' },
        { standbys: { connected: 1, synchronous: 1 } },
      ),
      /does not wait/,
    ],
    [
      'info',
      'standbys',
      inLog(NAMES, { standbys: { connected: 1, synchronous: undefined } }),
      /may not see/,
    ],
    ['ok', 'standbys', inLog(NAMES, { standbys: { connected: 2, synchronous: 1 } }), /1 of 2/],
    [
      'warning',
      'standbys',
      inLog({}, { standbys: { connected: 1, synchronous: 0 } }),
      /loses its last decisions/,
    ],
    [
      'info',
      'standbys',
      inOrders({}, { standbys: { connected: 1, synchronous: 0 } }),
      /branches that have voted/,
    ],
    ['fault', 'read_only', inLog({ default_transaction_read_only: 'on' }), /read only/],
    ['warning', 'read_only', inOrders({ default_transaction_read_only: 'on' }), /read only/],
    ['warning', 'idle_session_timeout', inLog({ idle_session_timeout: '5000' }), /after 5000 ms/],
    [
      'warning',
      'transaction_timeout',
      inOrders({ transaction_timeout: '5000' }),
      /a prepared one is never touched/,
    ],
    [
      'warning',
      'idle_in_transaction_session_timeout',
      inOrders({ idle_in_transaction_session_timeout: '5000' }),
      /5000 ms/,
    ],
    [
      'ok',
      'timeouts',
      inOrders({ idle_in_transaction_session_timeout: '60000' }),
      /none is shorter/,
    ],
    [
      'info',
      'client_connection_check_interval',
      inOrders({ client_connection_check_interval: '0' }),
      /waits on/,
    ],
    [
      'fault',
      'expiry',
      inOrders({ prepared_orphaned_transaction_timeout: '60000' }),
      /rolls prepared transactions back by itself/,
    ],
    [
      'fault',
      'expiry',
      inOrders({ max_age_prepared_xacts: '3600' }),
      /max_age_prepared_xacts is 3600/,
    ],
    ['ok', 'expiry', inOrders({ prepared_orphaned_transaction_timeout: '0' }), /ends no prepared/],
    ['ok', 'expiry', inOrders({ max_prepared_transactions: '64' }), /ends no prepared/],
    ['fault', 'version', inLog({}, { versionNumber: 130_010 }), /13\.10/],
    ['info', 'version', inLog({}, { versionNumber: 190_001 }), /19\.1/],
    ['fault', 'primary', inLog({}, { inRecovery: true }), /a standby/],
    ['fault', 'primary', inOrders({}, { inRecovery: true }), /a standby/],
    [
      'warning',
      'clock',
      inLog({}, { clock: { aheadMs: -6_000, uncertainMs: 1 } }),
      /6\.00 s behind that of this machine/,
    ],
    ['ok', 'clock', inLog({}, { clock: { aheadMs: 6_000, uncertainMs: 3_000 } }), /6\.00 s ahead/],
    [
      'fault',
      'clock',
      inLog({}, { clock: { aheadMs: 3_700_000, uncertainMs: 1 } }),
      /retention stops/,
    ],
    [
      'warning',
      'clock',
      inOrders({}, { clock: { aheadMs: 20_000, uncertainMs: 1 } }),
      /20 s ahead of that of the log/,
    ],
    ['warning', 'pooler', inLog({}, { pooler: 'transaction' }), /transaction mode/],
    ['info', 'pooler', inLog({}, { pooler: 'session' }), /session mode/],
    ['info', 'pooler', inLog({}, { pooler: undefined }), /could not be found out/],
    [
      'warning',
      'pooler',
      {
        participants: {
          orders: answered(
            participant({
              condition: condition({}, { pooler: 'transaction' }),
              rights: { superuser: true, roles: [], settable: [] },
            }),
          ),
        },
      },
      /cannot end a session/,
    ],
    [
      'fault',
      'pooler',
      {
        participants: {
          orders: answered(
            participant({
              condition: condition({}, { pooler: 'transaction' }),
              rights: role('shop', 1, 0).rights,
            }),
          ),
        },
      },
      /SET ROLE/,
    ],
  ])('%s %s', expectFinding);
});
