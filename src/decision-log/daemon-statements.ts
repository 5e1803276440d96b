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
         extract(epoch from clock_timestamp() - listed_at) * 1000 as age_ms
    from pgxa.participant
   where (name, system_identifier, database_oid) = ($1, $2, $3) and listed_timeline is not null`;

/** By the primary key, newest first. */
export const DECIDED_ELSEWHERE_SQL = `
  select d.transaction_id::text as transaction_id, d.epoch, b ->> 'participant' as participant,
         (b ->> 'branch')::int as branch, b ->> 'xid' as xid, b ->> 'timeline' as timeline
    from pgxa.decision d cross join lateral jsonb_array_elements(d.branches) b
   where d.transaction_id >= pgxa.uuid_at(clock_timestamp() - $5 * interval '1 millisecond')
     and d.outcome = 'commit' and ($1::uuid is null or d.transaction_id < $1)
     and b ->> 'participant' = $4 and b ->> 'system' = $2 and b ->> 'timeline' <> $3 and b ->> 'xid' is not null
   order by d.transaction_id desc limit 1000`;

export const NOTE_LISTINGS_SQL = `
  update pgxa.participant p
     set listed_at = clock_timestamp() - n.age_ms * interval '1 millisecond',
         oldest_in_doubt = n.oldest,
         listed_timeline = coalesce(n.timeline, p.listed_timeline)
    from (select * from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::float8[], $6::text[])
                     as n (name, system_identifier, database_oid, oldest, age_ms, timeline)
           order by name) n
   where (p.name, p.system_identifier, p.database_oid)
         = (n.name, n.system_identifier, n.database_oid)`;

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
