/** What the operator is shown of one server. Every statement only reads. */

/**
 * The locks of a prepared transaction carry no pid. They are found by the id that it holds on itself; all of
 * its locks share the virtual transaction of the session that has prepared it (-1/xid after a restart).
 */
const HOLDERS = `
       locks as materialized (select * from pg_locks),
       holder as materialized (
         select p.gid, p.transaction as xid, l.virtualtransaction
           from pg_prepared_xacts p
           join locks l on l.locktype = 'transactionid' and l.granted and l.pid is null
                       and l.transactionid = p.transaction
          where p.database = current_database())`;

const OBJECT = (lock: string): string => `
         case when ${lock}.relation is not null and ${lock}.database in (0, (
                     select oid from pg_database where datname = current_database()))
                then ${lock}.relation::regclass::text
              when ${lock}.relation is not null then 'relation ' || ${lock}.relation
              when ${lock}.locktype in ('transactionid', 'spectoken')
                then 'transaction ' || ${lock}.transactionid
              when ${lock}.locktype = 'advisory'
                then concat('advisory ', ${lock}.classid, '/', ${lock}.objid, '/', ${lock}.objsubid)
              when ${lock}.locktype = 'virtualxid' then 'session ' || ${lock}.virtualxid
              else concat(${lock}.classid::regclass::text, ' ', ${lock}.objid) end`;

/** Of waiters a few hundred are enough to see what is going on. */
const SESSIONS_MAX = 500;

export const BURDEN_SQL = `
  with ${HOLDERS},
       waiter as materialized (
         select * from locks where not granted and pid is not null limit ${SESSIONS_MAX}),
       contention as (
         select h.gid, w.pid, l.mode as held, w.mode as wanted
           from holder h
           join locks l on l.virtualtransaction = h.virtualtransaction and l.pid is null and l.granted
           join waiter w on w.locktype = l.locktype
            and (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid,
                 w.objid, w.objsubid)
                is not distinct from
                (l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid,
                 l.objid, l.objsubid))
  select (select system_identifier::text from pg_control_system()) as system_identifier,
         current_setting('autovacuum_freeze_max_age') as freeze_limit,
         coalesce((select jsonb_agg(jsonb_build_object(
                            'gid', gid, 'prepared_at', prepared, 'xid_age', age(transaction)))
                     from pg_prepared_xacts where database = current_database()), '[]') as prepared,
         coalesce((select jsonb_agg(jsonb_build_object(
                            'pid', w.pid, 'blocked_by', pg_blocking_pids(w.pid), 'user', a.usename,
                            'application', nullif(a.application_name, ''),
                            'client', coalesce(a.client_hostname, host(a.client_addr)),
                            'query', nullif(nullif(left(a.query, 2000), ''), '<insufficient privilege>'),
                            'wait_ms', round(extract(epoch from clock_timestamp()
                                             - coalesce(w.waitstart, a.query_start)) * 1000),
                            'waits_for', concat_ws(', ', ${OBJECT('w')}, w.mode)))
                     from waiter w left join pg_stat_activity a using (pid)), '[]') as sessions,
         coalesce((select jsonb_agg(to_jsonb(contention)) from contention), '[]') as contentions`;

export const LOCKS_SQL = `
  with ${HOLDERS}
  select l.locktype as kind, ${OBJECT('l')} as object, l.mode, count(*)::int as count
    from holder h join locks l on l.virtualtransaction = h.virtualtransaction and l.pid is null
   where h.gid = $1 and l.granted
     and not (l.locktype = 'transactionid' and l.transactionid = h.xid)
     and l.locktype <> 'virtualxid'
   group by 1, 2, 3 order by 1, 2, 3`;

/** Tables that the branch may have written to. */
export const WRITTEN_RELATIONS_SQL = `
  with ${HOLDERS}
  select distinct c.oid::regclass::text as relation, h.xid::text as xid,
         array(select jsonb_build_object('name', a.attname, 'builtin', a.atttypid < 16384)
                 from pg_index i cross join lateral unnest(i.indkey) with ordinality k (attnum, place)
                 join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                where i.indrelid = c.oid and i.indisprimary order by k.place) as keys
    from holder h join locks l on l.virtualtransaction = h.virtualtransaction and l.pid is null
    join pg_class c on c.oid = l.relation
   where h.gid = $1 and l.granted and c.relkind in ('r', 'm') and c.relnamespace <> 'pg_catalog'::regnamespace
     and l.database = (select oid from pg_database where datname = current_database())
     and l.mode in ('RowShareLock', 'RowExclusiveLock')
   order by 1`;

/** A column of a primary key. */
export interface KeyColumn {
  readonly name: string;
  /** Of a type that came with the server. */
  readonly builtin: boolean;
}

/**
 * The relation comes quoted from the catalogue; the names of the columns are values behind the xid. JSON would call the cast that the owner of a type has made for it:
 * format() asks only the type's output function, which is the server's.
 */
export function touchedRowsSql(
  relation: string,
  keys: readonly KeyColumn[],
  limit: number,
): string {
  const pairs = keys
    .map(({ name, builtin }, index) => {
      const column = `"${name.replaceAll('"', '""')}"`;
      return `$${index + 2}::text, ${builtin ? column : `format('%s', ${column})`}`;
    })
    .join(', ');
  const row = keys.length === 0 ? 'ctid::text' : `jsonb_build_object(${pairs})::text`;
  return `select ${row} as row from only ${relation} where xmax = $1::xid limit ${limit}`;
}

/** CASE keeps the order: a standby has no current WAL file to ask for. */
export const FATE_SQL = `
  select case when pg_is_in_recovery() then null
              when (select system_identifier::text from pg_control_system()) <> $2 then null
              when left(pg_walfile_name(pg_current_wal_lsn()), 8) <> $3 then null
              else pg_xact_status($1::xid8) end as status`;
