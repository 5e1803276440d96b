/** The statements of an operator: one operation, one statement. Values are always bound. */

export const COORDINATORS_SQL = `
  select epoch, name, host, pid, version, role_name, started_at, heartbeat_at, retired_at, retired_by
    from pgxa.coordinator
   where case when $1::text[] is not null then epoch = any ($1) else $2 or retired_at is null end
   order by started_at desc, epoch limit 10000`;

export const HEURISTICS_SQL = `
  select gid, kind, transaction_id::text as transaction_id, participant, decision, evidence, found_by,
         found_at, acknowledged_at, acknowledged_by, acknowledged_reason
    from pgxa.heuristic
   where acknowledged_at is null or transaction_id = any ($1::uuid[])
   order by found_at, gid, kind limit 10000`;

export const SERVERS_SQL = `
  select distinct on (name) name, system_identifier, database_oid, database_name, timeline, listed_at,
         retired_at is not null
           and retired_at > greatest(last_seen_at, coalesce(listed_at, '-infinity')) as retired
    from pgxa.participant order by name, last_seen_at desc`;

export const ALL_LEASES_SQL = `
  select name, holder, extract(epoch from expires_at - clock_timestamp()) * 1000 as remaining_ms
    from pgxa.lease`;

export const FAILED_ATTEMPTS_SQL = `
  select participant, gid, transaction_id::text as transaction_id, daemon, attempts, error,
         extract(epoch from clock_timestamp() - failed_at) * 1000 as failed_ago_ms,
         extract(epoch from next_attempt_at - clock_timestamp()) * 1000 as next_in_ms
    from pgxa.failed_attempt order by failed_at, participant, gid limit 10000`;

/** Bounds of the ids, so that the partitions of other days are not read. */
export const PREFIX_SQL = `
  select transaction_id::text as transaction_id from pgxa.decision
   where transaction_id between rpad($1, 32, '0')::uuid and rpad($1, 32, 'f')::uuid
   order by transaction_id limit $2`;

/**
 * What a coordinator has decided since is found by the ids (it decides within 25 hours of them), what others have by an
 * index of theirs: without a bound every day of the log would be sorted.
 */
export const HISTORY_SQL = `
  with d as (
         select * from pgxa.decision
          where decided_by = 'coordinator'
            and transaction_id >= coalesce(pgxa.uuid_at($1::timestamptz - interval '25 hours'),
                                           '00000000-0000-0000-0000-000000000000')
         union all
         select * from pgxa.decision
          where decided_by <> 'coordinator' and decided_at >= coalesce($1, '-infinity'))
  select d.transaction_id::text as transaction_id, d.epoch, c.name as coordinator, d.outcome,
         d.decided_by, d.decided_at, d.label, d.branches
    from d left join pgxa.coordinator c using (epoch)
   where ($1::timestamptz is null or d.decided_at >= $1)
     and ($2::timestamptz is null or d.decided_at < $2)
     and ($3::text is null or d.outcome = $3)
     and ($4::text is null or d.decided_by = $4)
     and ($5::text is null or strpos(d.label, $5) > 0)
     and ($6::uuid is null or d.transaction_id = $6)
   order by d.decided_at desc, d.transaction_id desc limit $7`;

export const AUDIT_SQL = `
  select id::text as id, at, role_name, actor, action, transaction_id::text as transaction_id, epoch,
         reason, before, after
    from pgxa.audit
   where ($1::timestamptz is null or at >= $1)
     and ($2::timestamptz is null or at < $2)
     and ($3::uuid is null or transaction_id = $3)
   order by audit.id desc limit $4`;

/**
 * NOT EXISTS is a second lock on a shut door: the epoch was retired before. Nothing is written for an
 * epoch that may still decide, because its coordinator may still be preparing branches.
 */
export const OPERATOR_COMMIT_SQL = `
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by, label, branches)
  select $1::uuid, $2, 'commit', 'operator', $3, $4::jsonb
   where not exists (select from pgxa.coordinator where epoch = $2 and retired_at is null)
      on conflict (transaction_id) do nothing`;

/** FOR UPDATE waits for the decisions in flight of the epoch (they hold FOR KEY SHARE). */
export const RETIRE_NOW_SQL = `
  with candidate as materialized (
    select epoch from pgxa.coordinator where epoch = $1 and retired_at is null for update)
  update pgxa.coordinator c set retired_at = clock_timestamp(), retired_by = 'operator'
    from candidate where c.epoch = candidate.epoch`;

const OPERATOR_LOCK = `hashtextextended('pgxa operator ' || $1, 0)`;
export const LOCK_OPERATOR_SQL = `select pg_try_advisory_lock(${OPERATOR_LOCK}) as locked`;
export const UNLOCK_OPERATOR_SQL = `select pg_advisory_unlock(${OPERATOR_LOCK})`;

export const NOTE_SQL = `
  insert into pgxa.audit (actor, action, transaction_id, epoch, reason, before, after)
  values ($1, $2, $3, $4, $5, $6, $7)`;

export const ACKNOWLEDGE_SQL = `
  with acknowledged as (
         update pgxa.heuristic
            set acknowledged_at = clock_timestamp(), acknowledged_by = $2, acknowledged_reason = $3
          where transaction_id = $1 and acknowledged_at is null
            and (gid, kind) in (select * from unnest($4::text[], $5::text[]))
         returning gid, kind, transaction_id::text as transaction_id, participant, decision, evidence,
                   found_by, found_at, acknowledged_at, acknowledged_by, acknowledged_reason),
       noted as (
         insert into pgxa.audit (actor, action, transaction_id, reason, after)
         select $2, 'forget', $1, $3,
                jsonb_agg(jsonb_build_object('gid', gid, 'kind', kind, 'participant', participant,
                                             'decision', decision, 'evidence', evidence))
           from acknowledged having count(*) > 0)
  select * from acknowledged`;
