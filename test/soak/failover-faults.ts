/**
 * Storage that goes back in time. A participant fails over to an asynchronous standby that had stopped
 * following; what its primary acknowledged meanwhile is lost, or comes back as prepared. The log is restored from
 * an old copy. Nobody can keep a transaction whole that has lost a voted branch: what is lost is
 * found by comparing both histories, and the checkers hold everything else to the full promise.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { EmbeddedServer } from '../support/embedded-server.ts';
import { copyDirectory } from '../support/embedded-template.ts';
import type { TestServer } from '../support/servers.ts';
import { stopFollowing } from '../support/following.ts';
import { serverClaim, type Fault, type Field } from './nemesis.ts';
import type { SoakDatabase } from './world.ts';

/** What one history of a participant holds: markers, and prepared branches of ours. */
interface Holdings {
  readonly committed: ReadonlySet<string>;
  readonly prepared: ReadonlySet<string>;
}

async function holdingsOf(server: TestServer, database: string): Promise<Holdings> {
  const markers = await server.query<{ id: string }>(
    database,
    'select distinct transaction_id::text as id from marker',
  );
  const prepared = await server.query<{ id: string }>(
    database,
    `select substring(gid from '_([0-9a-f]{32})_[0-9]+$')::uuid::text as id from pg_prepared_xacts
      where database = current_database() and gid ~ '^pgxa_[0-9a-f]{12}_[0-9a-f]{16}_[0-9a-f]{32}_[1-9]$'`,
  );
  const idsOf = (rows: readonly { id: string }[]): Set<string> => new Set(rows.map(({ id }) => id));
  return { committed: idsOf(markers), prepared: idsOf(prepared) };
}

const failover: Fault = {
  name: 'failover',
  weight: 1,
  claim: ({ world }) => [serverClaim(world.participant('billing'))],
  run: async (field) => {
    const one = field.world.participant('billing');
    const links = field.workers.flatMap((worker) => worker.links.get(one.name) ?? []);
    const primary = one.server;
    const standby = await primary.createStandby({ name: 'billing' });
    await field.wait(field.random.int(500, 2_000));
    await stopFollowing(standby);
    await field.wait(field.random.int(0, 1_200));
    await primary.kill9();
    for (const link of links) link.refuse();
    await standby.promote();
    // Its own standby, one day, shall follow.
    await standby.query('postgres', 'alter system reset primary_conninfo');
    const after = await holdingsOf(standby, one.database);
    // Nobody can reach it any more; only to know what is lost.
    await primary.start();
    const before = await holdingsOf(primary, one.database);
    await primary.destroy();
    one.server = standby;
    tellLost(field, one, before, after);
    for (const link of links) {
      link.redirect(standby.connectionString());
      link.accept();
    }
  },
};

function tellLost(field: Field, one: SoakDatabase, before: Holdings, after: Holdings): void {
  const isThere = (id: string): boolean => after.committed.has(id) || after.prepared.has(id);
  const commits = [...before.committed].filter((id) => !isThere(id));
  const votes = [...before.prepared].filter((id) => !isThere(id));
  const revived = [...before.committed].filter((id) => after.prepared.has(id));
  const { name: participant } = one;
  field.record({ kind: 'lost-history', participant, commits, votes });
  field.fired('failover', 1, { participant });
  const told = [
    ['failover-lost-commit', commits],
    ['failover-lost-vote', votes],
    ['failover-revived-branch', revived],
  ] as const;
  for (const [fault, ids] of told) if (ids.length > 0) field.fired(fault, ids.length);
}

/** Stops the log, puts the copy of some seconds ago in its place, and starts it again. */
const logRestored: Fault = {
  name: 'log-restored',
  weight: 1,
  claim: ({ world }) => [serverClaim(world.log)],
  run: async (field) => {
    const { server, database } = field.world.log;
    if (!(server instanceof EmbeddedServer)) throw new Error('only an embedded log can be copied');
    const decided = async (): Promise<string[]> =>
      (
        await server.query<{ id: string }>(
          database,
          'select transaction_id::text as id from pgxa.decision',
        )
      ).map(({ id }) => id);
    const data = join(server.directory, 'data');
    const copy = join(server.directory, 'copy');
    await server.stop('fast');
    await copyDirectory(data, copy);
    await server.start();
    await field.wait(field.random.int(500, 4_000));
    const links = field.workers.flatMap((worker) => worker.links.get('log') ?? []);
    for (const link of links) link.refuse();
    const before = await decided();
    await server.stop('fast');
    await rm(data, { recursive: true });
    await copyDirectory(copy, data);
    await rm(copy, { recursive: true });
    await server.start();
    const after = new Set(await decided());
    const lost = before.filter((id) => !after.has(id));
    field.record({ kind: 'lost-decisions', ids: lost });
    field.fired('log-restored', 1, { lost: lost.length });
    for (const link of links) link.accept();
  },
};

export const FAILOVER_FAULTS: readonly Fault[] = [failover];
export const RESTORE_FAULTS: readonly Fault[] = [logRestored];
