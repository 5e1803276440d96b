-- The decision log of pgxa. Schema pgxa and the search path are set by migrateDecisionLog().
-- Frozen once released: changes come as further files.

-- One row, made here and never changed: it is part of every gid, so that two installations that
-- share a server never touch each other's branches.
create table pgxa.installation (
  id text primary key constraint installation_id_is_hex check (id ~ '^[0-9a-f]{12}$'),
  singleton boolean not null default true unique constraint installation_is_one check (singleton),
  created_at timestamptz not null default now()
);
-- The leading 12 digits of a version 4 UUID are random.
insert into pgxa.installation (id) values (left(replace(gen_random_uuid()::text, '-', ''), 12));

-- One row for every start of a coordinator: its epoch.
create table pgxa.coordinator (
  epoch text primary key constraint coordinator_epoch_is_hex check (epoch ~ '^[0-9a-f]{16}$'),
  name text not null constraint coordinator_name_is_short check (length(name) between 1 and 200),
  host text not null,
  pid integer not null,
  version text not null,
  role_name text not null default session_user,
  started_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp(),
  -- The silence that this coordinator asks for: nobody retires it earlier, whatever their own setting is.
  heartbeat_limit_ms integer not null default 0
    constraint coordinator_heartbeat_limit_is_sane check (heartbeat_limit_ms between 0 and 3600000),
  -- True while the coordinator's session holds the advisory lock of its epoch: then a free lock
  -- means that the session is gone. False behind a transaction pooler.
  guarded boolean not null default false,
  -- A retired epoch decides no more.
  retired_at timestamptz,
  retired_by text constraint coordinator_retired_by_is_known
    check (retired_by in ('coordinator', 'recovery', 'operator')),
  constraint coordinator_retirement_is_whole check ((retired_at is null) = (retired_by is null))
);
create index coordinator_live on pgxa.coordinator (name) where retired_at is null;

-- The log remembers every decision about a transaction that began later than this; one row.
create table pgxa.horizon (
  singleton boolean primary key default true constraint horizon_is_one check (singleton),
  forgotten_before timestamptz not null default '-infinity'
);
insert into pgxa.horizon default values;

-- The register: whoever inserts first decides. Never updated, not even by its owner (trigger below).
-- One partition for each UTC day of the transaction ids, which are UUIDv7: retention drops them whole. No
-- default partition: where a day was dropped nobody can decide any more, by construction.
create table pgxa.decision (
  transaction_id uuid primary key,
  epoch text not null,
  outcome text not null constraint decision_outcome_is_known check (outcome in ('commit', 'abort')),
  decided_by text not null constraint decision_decided_by_is_known
    check (decided_by in ('coordinator', 'recovery', 'operator')),
  decided_at timestamptz not null default clock_timestamp(),
  label text constraint decision_label_is_short check (length(label) <= 200),
  -- [{participant, branch, xid, system, timeline}]: what proves a branch's fate later.
  branches jsonb not null default '[]'
) partition by range (transaction_id);

-- Written in the same statement as a commit decision, never without one.
create table pgxa.idempotency (
  key text primary key constraint idempotency_key_is_short check (length(key) between 1 and 200),
  transaction_id uuid not null unique
);

-- Every server that has stood behind a name. A name that gets another server is recorded in audit.
create table pgxa.participant (
  name text not null,
  system_identifier text not null,
  database_oid text not null,
  database_name text not null,
  timeline text not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  -- When recovery has read its list of branches last, and the oldest transaction of ours on it: what
  -- retention has to know before it forgets.
  listed_at timestamptz,
  oldest_in_doubt uuid,
  -- Up to which it was checked what a failover or a restore has lost.
  listed_timeline text,
  -- An operator's word that nobody will ever ask for a decision because of this server.
  retired_at timestamptz,
  primary key (name, system_identifier, database_oid)
);

-- Which daemon works on a participant. Says who acts, never whether it is safe.
create table pgxa.lease (
  name text primary key,
  holder text not null,
  -- Random, one for every start of a daemon.
  holder_id text not null,
  -- Counts the holders.
  term bigint not null,
  renewed_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
) with (fillfactor = 50);

-- Branches that ended against, or ahead of, the decision.
create table pgxa.heuristic (
  gid text not null,
  kind text not null constraint heuristic_kind_is_known
    check (kind in ('commit', 'rollback', 'mixed', 'hazard')),
  transaction_id uuid not null,
  participant text not null,
  decision text not null constraint heuristic_decision_is_known
    check (decision in ('commit', 'abort')),
  evidence text not null,
  found_by text not null,
  found_at timestamptz not null default clock_timestamp(),
  acknowledged_at timestamptz,
  acknowledged_by text,
  acknowledged_reason text,
  primary key (gid, kind),
  constraint heuristic_acknowledgement_is_whole
    check ((acknowledged_at is null) = (acknowledged_by is null))
);
create index heuristic_open on pgxa.heuristic (found_at) where acknowledged_at is null;

-- What changed hands outside of the protocol: who, what, why, before and after. Append-only.
create table pgxa.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  role_name text not null default session_user,
  actor text not null,
  action text not null,
  transaction_id uuid,
  epoch text,
  reason text,
  before jsonb,
  after jsonb
);

create function pgxa.refuse_change() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '%.%: % is refused by trigger %',
    tg_table_schema, tg_table_name, tg_op, tg_name using errcode = 'insufficient_privilege';
end
$$;

create trigger decision_is_write_once before update on pgxa.decision
  for each row execute function pgxa.refuse_change();
-- No deadline is longer than a day: until then a coordinator may still be about to decide, and would
-- win the register that somebody has emptied.
create trigger decision_is_kept before delete on pgxa.decision
  for each row when (old.decided_at > clock_timestamp() - interval '1 day')
  execute function pgxa.refuse_change();
-- A key is worth as much as the decision that came with it.
create function pgxa.refuse_while_remembered() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  horizon timestamptz := (select forgotten_before from pgxa.horizon);
begin
  if isfinite(horizon) and old.transaction_id < pgxa.uuid_at(horizon) then
    return old;
  end if;
  raise exception '%.%: % is refused by trigger %: the log remembers transaction %',
    tg_table_schema, tg_table_name, tg_op, tg_name, old.transaction_id
    using errcode = 'insufficient_privilege';
end
$$;
create trigger idempotency_is_kept before delete on pgxa.idempotency
  for each row execute function pgxa.refuse_while_remembered();
create trigger idempotency_is_write_once before update on pgxa.idempotency
  for each row execute function pgxa.refuse_change();
create trigger horizon_is_kept before delete on pgxa.horizon
  for each row execute function pgxa.refuse_change();
create trigger horizon_never_goes_back before update on pgxa.horizon
  for each row when (new.forgotten_before < old.forgotten_before)
  execute function pgxa.refuse_change();
-- Fencing: an epoch never comes back to life.
create trigger coordinator_retirement_is_final before update on pgxa.coordinator
  for each row when (old.retired_at is not null) execute function pgxa.refuse_change();
create trigger coordinator_is_kept before delete on pgxa.coordinator
  for each row when (old.retired_at is null
                     or old.retired_at > clock_timestamp() - interval '1 day')
  execute function pgxa.refuse_change();
create trigger heuristic_acknowledgement_is_final before update on pgxa.heuristic
  for each row when (old.acknowledged_at is not null) execute function pgxa.refuse_change();
create trigger audit_is_append_only before update or delete on pgxa.audit
  for each row execute function pgxa.refuse_change();
create trigger audit_is_not_truncated before truncate on pgxa.audit
  for each statement execute function pgxa.refuse_change();
create trigger decision_is_not_truncated before truncate on pgxa.decision
  for each statement execute function pgxa.refuse_change();
create trigger installation_is_fixed before update or delete on pgxa.installation
  for each row execute function pgxa.refuse_change();

-- What wakes recovery: an epoch ended, or an operator decided.
create function pgxa.wake_recovery() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_notify('pgxa_recovery', tg_table_name);
  return null;
end
$$;
create trigger coordinator_wakes_recovery after update of retired_at on pgxa.coordinator
  for each row when (new.retired_at is not null) execute function pgxa.wake_recovery();
create trigger decision_wakes_recovery after insert on pgxa.decision
  for each row when (new.decided_by = 'operator') execute function pgxa.wake_recovery();

-- The least UUIDv7 of a moment, and the moment of a UUIDv7 (RFC 9562, section 5.7).
create function pgxa.uuid_at(moment timestamptz) returns uuid language sql immutable as $$
  select (lpad(to_hex(floor(extract(epoch from moment) * 1000)::bigint), 12, '0')
          || repeat('0', 20))::uuid
$$;
create function pgxa.moment_of(id uuid) returns timestamptz language sql immutable as $$
  select to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
$$;

-- Retention believes that a commit is decided within a day of its transaction's id (a deadline is no longer).
-- Held here, because the id is made by the clock of the coordinator: one whose clock is behind is refused.
create function pgxa.refuse_late_commit() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'transaction % began at % by its id, which is too long ago to be committed now',
    new.transaction_id, pgxa.moment_of(new.transaction_id)
    using errcode = 'PX001', hint = 'Is the clock of the machine that began it right?';
end
$$;
create trigger decision_is_not_late before insert on pgxa.decision
  for each row when (new.decided_by = 'coordinator' and new.outcome = 'commit'
                     and new.transaction_id < pgxa.uuid_at(clock_timestamp() - interval '25 hours'))
  execute function pgxa.refuse_late_commit();

-- Partitions are made and dropped by functions of the owner, so that no role needs rights of definition.
-- One lock for both: a day is not made again while it is being forgotten. The horizon is read FOR SHARE, so that a
-- snapshot that is older than a drop fails (40001) and does not make the day again. A day is a day of UTC,
-- wherever the log and its clients are: elsewhere some days have 23 or 25 hours.
create function pgxa.make_partition(moment timestamptz) returns text
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  first_moment timestamptz := date_trunc('day', moment);
  day_name text := 'decision_' || to_char(first_moment, 'YYYYMMDD');
  horizon timestamptz;
begin
  if moment not between '1970-01-01' and clock_timestamp() + interval '1 year' then
    raise exception 'no transaction begins at %', moment
      using errcode = 'PX001', hint = 'Is the clock of the machine that began it right?';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('pgxa partitions', 0));
  select forgotten_before into horizon from pgxa.horizon for share;
  if first_moment < horizon then
    raise exception 'the log has forgotten the transactions of %', first_moment
      using errcode = 'PX001', hint = 'Is the clock of the machine that began it right?';
  end if;
  if exists (select from pgxa.partitions() p where p.name = day_name) then
    return null;
  end if;
  execute format('create table pgxa.%I (like pgxa.decision including all)', day_name);
  execute format('create trigger decision_is_not_truncated before truncate on pgxa.%I
                    for each statement execute function pgxa.refuse_change()', day_name);
  -- ATTACH takes SHARE UPDATE EXCLUSIVE on the register: nobody who decides waits for it.
  execute format('alter table pgxa.decision attach partition pgxa.%I for values from (%L) to (%L)',
                 day_name, pgxa.uuid_at(first_moment), pgxa.uuid_at(first_moment + interval '24 hours'));
  return day_name;
end
$$;

create function pgxa.make_partitions(days_ahead integer) returns setof text
  language sql security definer set search_path = pg_catalog, pg_temp as $$
  select made
    from generate_series(-1, days_ahead) day
   cross join lateral pgxa.make_partition(
           greatest(clock_timestamp() + day * interval '24 hours',
                    (select forgotten_before from pgxa.horizon))) made
   where made is not null
$$;

create function pgxa.partitions(out name text, out until_moment timestamptz) returns setof record
  language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select c.relname::text, (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamptz
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'pgxa.decision'::regclass and c.relname ~ '^decision_[0-9]{8}$'
$$;

-- Who could still need a decision about a transaction that began before that moment: a server that holds such
-- a branch, whatever stands behind its name now; and one that stands there and whose list was not read lately.
-- An operator's "retired" counts for as long as nobody has seen or registered the server again.
create function pgxa.who_needs(moment timestamptz) returns text
  language sql stable set search_path = pg_catalog, pg_temp as $$
  with server as (
         select *, row_number() over (partition by name order by last_seen_at desc) = 1 as stands_there
           from pgxa.participant
          where retired_at is null
             or retired_at <= greatest(last_seen_at, coalesce(listed_at, '-infinity')))
  select min(format('participant "%s" %s', name,
                    case when oldest_in_doubt < pgxa.uuid_at(moment)
                           then 'holds a branch of transaction ' || oldest_in_doubt
                         when listed_at is null then 'was never listed by recovery'
                         else 'was last listed at ' || listed_at end))
    from server
   where oldest_in_doubt < pgxa.uuid_at(moment)
      or (stands_there
          and (listed_at is null or listed_at < clock_timestamp() - interval '1 hour'))
$$;

-- Forgets the oldest day, if it is before the retention and no participant could need it. Answers the name of the
-- dropped partition, or why none is. DETACH locks the register for a moment: it waits at most 100 ms for
-- those who are deciding, and gives up then (55P03). The caller's clock has to agree: a log whose clock
-- has jumped ahead would forget what was decided today.
create function pgxa.drop_oldest_day(retention interval, callers_clock timestamptz,
                                     out dropped text, out held_by text)
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '100ms' as $$
declare
  until_moment timestamptz;
begin
  -- A commit is decided within 25 hours of its id, and the lists of participants may be an hour old.
  if retention is null or retention < interval '48 hours' then
    raise exception 'retention % is too short: expected 2 days or more', retention
      using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('pgxa partitions', 0));
  select p.name, p.until_moment into dropped, until_moment
    from pgxa.partitions() p order by p.until_moment limit 1;
  if until_moment is null or until_moment > date_trunc('day', clock_timestamp() - retention) then
    dropped := null;
    return;
  end if;
  held_by := case
    when callers_clock is null
         or abs(extract(epoch from clock_timestamp() - callers_clock)) > 3600
      then format('the clock of the log says %s, that of the daemon %s', clock_timestamp(), callers_clock)
    else pgxa.who_needs(until_moment) end;
  if held_by is not null then
    dropped := null;
    return;
  end if;
  update pgxa.horizon set forgotten_before = until_moment where forgotten_before < until_moment;
  execute format('alter table pgxa.decision detach partition pgxa.%I', dropped);
  execute format('drop table pgxa.%I', dropped);
end
$$;

revoke execute on function pgxa.make_partition, pgxa.make_partitions, pgxa.drop_oldest_day from public;
select pgxa.make_partitions(3);
