/** The statements of a recovery daemon: one operation, one statement. Values are always bound. */
import { EPOCH_LOCK } from './statements.ts';

/** In the order of the names, so that two daemons never wait for each other in a circle. */
export const LEASE_SQL = `
  insert into pgxa.lease as l (name, holder, holder_id, term, expires_at)
  select name, $2, $3, 1, clock_timestamp() + $4 * interval '1 millisecond'
    from unnest($1::text[]) name order by name
      on conflict (name) do update
     set holder = excluded.holder, holder_id = excluded.holder_id,
         term = case when l.holder_id = excluded.holder_id then l.term else l.term + 1 end,
         renewed_at = clock_timestamp(), expires_at = excluded.expires_at
   where l.holder_id = excluded.holder_id or l.expires_at < clock_timestamp()
      -- Written by a clock that was ahead.
      or l.renewed_at > clock_timestamp()`;

export const LEASES_SQL = `
  select name, holder, holder_id = $2 as ours, term::text as term,
         extract(epoch from expires_at - clock_timestamp()) * 1000 as remaining_ms
    from pgxa.lease where name = any ($1)`;

export const RELEASE_SQL = `
  with released as (
    update pgxa.lease set expires_at = clock_timestamp()
     where name = any ($1) and holder_id = $2 and expires_at > clock_timestamp() returning 1)
  select pg_notify('pgxa_recovery', 'lease') where exists (select from released)`;

/**
 * As RETIRE_SQL, for all epochs at once. SKIP LOCKED: an epoch with a decision in flight is looked at
 * again next time. The lock of a session is tried only for epochs that are late (CASE keeps the order):
 * tried for a live one, it could shut a coordinator out that is just renewing its session.
 */
export const RETIRE_SILENT_SQL = `
  with late as materialized (
         select epoch, heartbeat_at,
                heartbeat_at < clock_timestamp() - greatest($1, heartbeat_limit_ms)
                                                   * interval '1 millisecond' as out_of_time
           from pgxa.coordinator
          where retired_at is null
            and heartbeat_at < clock_timestamp() - least($1, $2) * interval '1 millisecond'),
       silent as materialized (
         select epoch, heartbeat_at from late l join pgxa.coordinator c using (epoch, heartbeat_at)
          where case when l.out_of_time then true
                     when c.guarded then pg_try_advisory_xact_lock(${EPOCH_LOCK('l.epoch')})
                     else false end),
       candidate as materialized (
         select c.epoch from pgxa.coordinator c join silent s using (epoch, heartbeat_at)
          where c.retired_at is null for update of c skip locked)
  update pgxa.coordinator c set retired_at = clock_timestamp(), retired_by = 'recovery'
    from candidate where c.epoch = candidate.epoch
  returning c.epoch`;

export const SERVER_BEHIND_SQL = `
  select system_identifier, database_oid from pgxa.participant where name = $1
   order by last_seen_at desc limit 1`;

export const LISTED_TIMELINE_SQL = `
  select listed_timeline as timeline,
         extract(epoch from clock_timestamp() - listed_timeline_at) * 1000 as age_ms
    from pgxa.participant
   where (name, system_identifier, database_oid) = ($1, $2, $3) and listed_timeline is not null`;

/**
 * By the primary key, newest first, and so many rows at once whether or not any of them is of that participant: the
 * time of the statement does not grow with the log. The bounds are stable, so that they are bounds of the index.
 */
export const DECIDED_ELSEWHERE_SQL = `
  with page as materialized (
         select transaction_id, epoch, outcome, branches from pgxa.decision
          where transaction_id >= pgxa.uuid_at(statement_timestamp() - $5 * interval '1 millisecond')
            and transaction_id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          order by transaction_id desc limit 5000),
       branch as (
         select d.transaction_id, d.epoch, b ->> 'participant' as participant,
                (b ->> 'branch')::int as branch, b ->> 'xid' as xid, b ->> 'timeline' as timeline
           from page d cross join lateral jsonb_array_elements(d.branches) b
          where d.outcome = 'commit' and b ->> 'participant' = $4 and b ->> 'system' = $2
            and b ->> 'timeline' <> $3 and b ->> 'xid' is not null)
  select (select transaction_id::text from page order by page.transaction_id limit 1) as reached,
         coalesce((select jsonb_agg(jsonb_build_object(
                            'transactionId', transaction_id, 'epoch', epoch, 'participant', participant,
                            'branch', branch, 'xid', xid, 'timeline', timeline)
                            order by transaction_id desc)
                     from branch), '[]') as branches`;

export const NOTE_LISTINGS_SQL = `
  update pgxa.participant p
     set listed_at = clock_timestamp() - n.age_ms * interval '1 millisecond',
         oldest_in_doubt = n.oldest,
         listed_timeline = coalesce(n.timeline, p.listed_timeline),
         listed_timeline_at = case when n.timeline is null then p.listed_timeline_at
                                   else clock_timestamp() - n.age_ms * interval '1 millisecond' end
    from (select * from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::float8[], $6::text[])
                     as n (name, system_identifier, database_oid, oldest, age_ms, timeline)
           order by name) n
   where (p.name, p.system_identifier, p.database_oid)
         = (n.name, n.system_identifier, n.database_oid)`;

/** Nothing is done because of it, so it waits neither for the disk nor for a standby. */
export const NOTE_FAILURES_SQL = `
  with wanted as materialized (
         select * from unnest($3::text[], $4::uuid[], $5::int[], $6::text[], $7::float8[])
                    as w (gid, transaction_id, attempts, error, next_in_ms)),
       over as (
         delete from pgxa.failed_attempt f
          where f.participant = $1 and not exists (select from wanted w where w.gid = f.gid)),
       noted as (
         insert into pgxa.failed_attempt as f
                (participant, gid, transaction_id, daemon, attempts, error, next_attempt_at)
         select $1, gid, transaction_id, $2, attempts, error,
                clock_timestamp() + next_in_ms * interval '1 millisecond'
           from wanted order by gid
             on conflict (participant, gid) do update
            set transaction_id = excluded.transaction_id, daemon = excluded.daemon,
                attempts = excluded.attempts, error = excluded.error, failed_at = clock_timestamp(),
                next_attempt_at = excluded.next_attempt_at
          where (f.daemon, f.attempts, f.error) <> (excluded.daemon, excluded.attempts, excluded.error)
             or f.next_attempt_at < clock_timestamp())
  select set_config('synchronous_commit', 'off', true)`;

export const MAKE_PARTITIONS_AHEAD_SQL = `select pgxa.make_partitions($1) as name`;

export const DROP_OLDEST_DAY_SQL = `
  select dropped, held_by
    from pgxa.drop_oldest_day($1 * interval '24 hours', to_timestamp($2::float8 / 1000))`;

/** In small bites: a lock that is held for long would be somebody's wait. */
export const FORGET_KEYS_SQL = `
  delete from pgxa.idempotency where key in (
    select i.key from pgxa.idempotency i, pgxa.horizon h
     where isfinite(h.forgotten_before) and i.transaction_id < pgxa.uuid_at(h.forgotten_before)
     limit 1000)`;

export const FORGET_EPOCHS_SQL = `
  delete from pgxa.coordinator where epoch in (
    select c.epoch from pgxa.coordinator c, pgxa.horizon h
     where c.retired_at < h.forgotten_before and c.retired_at < clock_timestamp() - interval '1 day'
     limit 1000)`;
