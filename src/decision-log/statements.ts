/** The statements of the decision log: one operation, one statement. Values are always bound. */

/** The coordinator, unless it is retired. */
const ALIVE = `alive as materialized (
         select epoch from pgxa.coordinator where epoch = $1 and retired_at is null for key share)`;

/**
 * The commit point. Rows appear for the transactions that this statement has decided; those that are
 * missing in the answer lost against a standing row, or their epoch is retired.
 *
 * - FOR KEY SHARE does not disturb heartbeats (no key changes) and makes "retire" wait for the
 *   decisions in flight: a retired epoch can decide no more, by lock and not by luck.
 * - The keys go in without ON CONFLICT: a key that is taken fails the whole statement, so that no
 *   decision stands without its key and no key without its decision.
 * - Both inserts are ordered, so that two batches can never wait for each other in a circle.
 */
export const DECIDE_SQL = `
  with input as materialized (
         select * from unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[])
                    as t (transaction_id, label, branches, key)),
       ${ALIVE},
       decided as (
         insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, label, branches)
         select i.transaction_id, a.epoch, 'commit', 'coordinator', i.label, i.branches
           from input i cross join alive a
          order by i.transaction_id
             on conflict (transaction_id) do nothing
         returning transaction_id),
       keyed as (
         insert into pgxa.idempotency (key, transaction_id)
         select i.key, d.transaction_id from decided d join input i using (transaction_id)
          where i.key is not null order by i.key)
  select transaction_id::text as transaction_id from decided`;

/** The same for transactions without a key, which are most: what the server sets up for each statement is a fifth less. */
export const DECIDE_UNKEYED_SQL = `
  with ${ALIVE}
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, label, branches)
  select i.transaction_id, a.epoch, 'commit', 'coordinator', i.label, i.branches
    from unnest($2::uuid[], $3::text[], $4::jsonb[]) as i (transaction_id, label, branches)
   cross join alive a
   order by i.transaction_id
      on conflict (transaction_id) do nothing
  returning transaction_id::text as transaction_id`;

/** The tombstone: waits for a row of the same key that is still being written, and loses to it. Returns those it has won. */
export const ABORT_SQL = `
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
  select t.transaction_id, t.epoch, 'abort', $1
    from unnest($2::uuid[], $3::text[]) as t (transaction_id, epoch)
   order by t.transaction_id
      on conflict (transaction_id) do nothing
  returning transaction_id::text as transaction_id, decided_at`;

export const DECISIONS_SQL = `
  select transaction_id::text as transaction_id, outcome, decided_by, decided_at, label, branches
    from pgxa.decision where transaction_id = any ($1::uuid[])`;

/**
 * A row that is visible may still be unknown to a synchronous standby: its writer's wait was cut off.
 * What this writes, and is confirmed, is behind all that was visible before in the WAL, and proves it. Sent
 * behind the read on the same session: from another server it would prove nothing.
 */
export const DECISIONS_BARRIER_SQL = `
  select pg_logical_emit_message(true, 'pgxa', 'barrier')
   where exists (select from pgxa.decision where transaction_id = any ($1::uuid[]))`;

export const KEYS_BARRIER_SQL = `
  select pg_logical_emit_message(true, 'pgxa', 'barrier')
   where exists (select from pgxa.idempotency where key = any ($1))`;

export const KEYS_SQL = `
  select key, transaction_id::text as transaction_id from pgxa.idempotency where key = any ($1)`;

export const REGISTER_COORDINATOR_SQL = `
  insert into pgxa.coordinator (epoch, name, host, pid, version, heartbeat_limit_ms)
  values ($1, $2, $3, $4, $5, $6)`;

/** The 64-bit advisory lock of an epoch: held by the coordinator's session for its whole life. */
export const EPOCH_LOCK = (epoch: string): string => `('x' || ${epoch})::bit(64)::bigint`;

export const LOCK_EPOCH_SQL = `select pg_try_advisory_lock(${EPOCH_LOCK('$1')}) as locked`;

export const HEARTBEAT_SQL = `
  update pgxa.coordinator
     set heartbeat_at = clock_timestamp(),
         guarded = exists (
           select from pg_locks
            where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
              and database = (select oid from pg_database where datname = current_database())
              and (classid::bigint << 32 | objid::bigint) = ${EPOCH_LOCK('$1')})
   where epoch = $1 and retired_at is null`;

export const EPOCHS_SQL = `
  select c.epoch, c.name, c.retired_at is not null as retired,
         extract(epoch from clock_timestamp() - c.heartbeat_at) * 1000 as heartbeat_age_ms,
         c.heartbeat_limit_ms, extract(epoch from c.heartbeat_at)::text as heartbeat,
         c.guarded and not exists (
           select from pg_locks l
            where l.locktype = 'advisory' and l.granted and l.objsubid = 1
              and l.database = (select oid from pg_database where datname = current_database())
              and (l.classid::bigint << 32 | l.objid::bigint) = ${EPOCH_LOCK('c.epoch')})
           as session_gone
    from pgxa.coordinator c where c.epoch = any ($1)`;

/**
 * Retires an epoch that is over by the log's clock, or whose session is gone. FOR UPDATE waits for
 * its decisions in flight (they hold FOR KEY SHARE), and for others who retire it: only behind the row's lock is
 * the session's lock tried, so that two of them do not take each other for the session. The session counts as gone
 * only after $3 milliseconds without a heartbeat, so that a coordinator may lose and renew its connection.
 */
export const RETIRE_SQL = `
  with candidate as materialized (
    select epoch, guarded,
           heartbeat_at < clock_timestamp() - greatest($2, heartbeat_limit_ms) * interval '1 millisecond'
             as out_of_time
      from pgxa.coordinator
     where epoch = $1 and retired_at is null
       and heartbeat_at < clock_timestamp() - least($2, $3) * interval '1 millisecond'
       for update)
  update pgxa.coordinator c set retired_at = clock_timestamp(), retired_by = 'recovery'
    from candidate
   where c.epoch = candidate.epoch
     and case when candidate.out_of_time then true
              when candidate.guarded then pg_try_advisory_xact_lock(${EPOCH_LOCK('$1')})
              else false end`;

export const IS_RETIRED_SQL = `
  select retired_at is not null as retired from pgxa.coordinator where epoch = $1`;

export const END_EPOCH_SQL = `
  update pgxa.coordinator set retired_at = clock_timestamp(), retired_by = 'coordinator'
   where epoch = $1 and retired_at is null`;

/** Behind a commit that an operator has written: his statement does not know the keys, their coordinator does. */
export const KEEP_KEYS_SQL = `
  insert into pgxa.idempotency (key, transaction_id)
  select key, transaction_id from unnest($1::text[], $2::uuid[]) as t (key, transaction_id) order by key
      on conflict (key) do nothing`;

/** `replaces`: the server that stood behind the name before, when this one is new there. */
export const REGISTER_PARTICIPANT_SQL = `
  with before as (
         select system_identifier, database_oid from pgxa.participant where name = $1
          order by last_seen_at desc limit 1),
       seen as (
         insert into pgxa.participant as p
                (name, system_identifier, database_oid, database_name, timeline)
         values ($1, $2, $3, $4, $5)
             on conflict (name, system_identifier, database_oid) do update
            set last_seen_at = clock_timestamp(), timeline = excluded.timeline,
                database_name = excluded.database_name
         returning 1),
       changed as (
         select 'system ' || system_identifier || ' database oid ' || database_oid as replaces
           from before where (system_identifier, database_oid) <> ($2, $3)),
       noted as (
         insert into pgxa.audit (actor, action, before, after)
         select $6, 'participant ' || $1 || ' has another server', jsonb_build_object('server', replaces),
                jsonb_build_object('server', 'system ' || $2 || ' database oid ' || $3)
           from changed)
  select (select replaces from changed) as replaces from seen`;

export const RECORD_HEURISTIC_SQL = `
  insert into pgxa.heuristic (gid, kind, transaction_id, participant, decision, evidence, found_by)
  values ($1, $2, $3, $4, $5, $6, $7)
      on conflict (gid, kind) do nothing`;

export const INSTALLATION_SQL = `select id from pgxa.installation`;

/** For each of these transactions, the partition of its day, unless it is there or forgotten (PX001). */
export const MAKE_PARTITIONS_SQL = `
  select pgxa.make_partition(pgxa.moment_of(day)) from unnest($1::uuid[]) day`;

export const HORIZON_SQL = `
  select extract(epoch from forgotten_before) * 1000 as forgotten_before_ms
    from pgxa.horizon where isfinite(forgotten_before)`;

export const REQUEST_RECOVERY_SQL = `select pg_notify('pgxa_recovery', $1)`;
