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

-- The register: whoever inserts first decides. Never updated, not even by its owner (trigger below).
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
);

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
  primary key (name, system_identifier, database_oid)
);

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

create function pgxa.refuse_change() returns trigger language plpgsql as $$
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
create trigger idempotency_is_write_once before update on pgxa.idempotency
  for each row execute function pgxa.refuse_change();
-- Fencing: an epoch never comes back to life.
create trigger coordinator_retirement_is_final before update on pgxa.coordinator
  for each row when (old.retired_at is not null) execute function pgxa.refuse_change();
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
