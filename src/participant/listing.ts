/** What a participant is asked for what it holds in doubt. */
import type { PreparedBranch } from './participant.ts';
import { BARRIER, SERVER_FACTS_SQL, type ServerFactsRow } from './server-facts.ts';

export interface ListingRow {
  readonly facts: ServerFactsRow;
  readonly role_name: string;
  readonly slots_used: number;
  readonly branches: readonly ListedRow[];
}

interface ListedRow {
  readonly gid: string;
  readonly xid: string;
  readonly age_ms: string;
  readonly owner: string | null;
}

/**
 * Facts and list in one statement, and in one value: a daemon asks it every second of every participant, and
 * parsing columns is most of what that costs it. `transaction` is a 32-bit xid: of the 64-bit ones that end in it, the
 * nearest to the next xid of the snapshot is meant. It may lie ahead of it, since the list is newer
 * than the snapshot, and never further than half of the 32-bit circle.
 */
export const LIST_SQL = `
  with facts as (${SERVER_FACTS_SQL}),
       next as (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid),
       branch as (
         select p.gid, p.prepared, p.owner::text as owner,
                (next.xid >> 32 << 32 | p.transaction::text::bigint) as near, next.xid as next_xid
           from pg_prepared_xacts p, next
          where p.database = current_database())
  select jsonb_build_object(
         'facts', to_jsonb(facts), 'role_name', current_user::text,
         'slots_used', (select count(*) from pg_prepared_xacts),
         'branches', coalesce((select jsonb_agg(jsonb_build_object(
                            'gid', gid,
                            'xid', (near + case when near - next_xid > 2147483648 then -4294967296
                                                when next_xid - near > 2147483648 then 4294967296
                                                else 0 end)::text,
                            'age_ms', round(extract(epoch from clock_timestamp() - prepared)
                                            * 1000)::text,
                            'owner', owner) order by prepared)
                     from branch), '[]')) as listing
    from facts`;

export function branchesOfRow({ branches, role_name }: ListingRow): PreparedBranch[] {
  return branches.map(({ gid, xid, age_ms, owner }) => ({
    gid,
    xid,
    ageMs: Number(age_ms),
    owner,
    ownedByOther: owner !== role_name,
  }));
}

/**
 * A branch is listed as soon as its own server has flushed it: its PREPARE may still wait for the standby. Behind the
 * listing on the same session; from another server it would prove nothing.
 */
export const LIST_BARRIER_SQL = `select ${BARRIER}`;
