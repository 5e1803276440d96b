-- Group roles for the decision log, each with no more than its work needs. Run it in the log's
-- database after migrateDecisionLog(), as the owner of the schema pgxa; a role that does not exist yet
-- is created, which needs CREATEROLE. It can be run again at any time, and after every upgrade.
--
--   pgxa_application  programs that use the library: decide, heartbeat, recover
--   pgxa_recovery     the daemon: the same, and it forgets days whose retention is over
--   pgxa_operator     people with the CLI: read, decide, retire, acknowledge; all of it is audited
--   pgxa_monitor      dashboards and alarms: read
--
-- Give them to your logins: grant pgxa_application to checkout_api;
--
-- Grants of inserts name columns, so that no role can choose the time or the author of what it writes:
-- decided_at, found_at, audit.at and both role_name come from the server. What no grant can express is
-- held by triggers: a decision is never changed, a retired epoch never revived, whoever asks.
begin;
select pg_advisory_xact_lock(hashtextextended('pgxa roles.sql', 0));

do $$
declare
  wanted text;
begin
  foreach wanted in array array['pgxa_application', 'pgxa_recovery', 'pgxa_operator', 'pgxa_monitor']
  loop
    begin
      if not exists (select from pg_roles where rolname = wanted) then
        execute format('create role %I nologin', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      -- Made meanwhile from another database of this server.
      null;
    end;
  end loop;
end
$$;

revoke all on all tables in schema pgxa
  from public, pgxa_application, pgxa_recovery, pgxa_operator, pgxa_monitor;
revoke all on schema pgxa
  from public, pgxa_application, pgxa_recovery, pgxa_operator, pgxa_monitor;

grant usage on schema pgxa to pgxa_application, pgxa_recovery, pgxa_operator, pgxa_monitor;
grant select on all tables in schema pgxa
  to pgxa_application, pgxa_recovery, pgxa_operator, pgxa_monitor;

-- The register.
grant insert (transaction_id, epoch, outcome, decided_by, label, branches) on pgxa.decision
  to pgxa_application, pgxa_recovery, pgxa_operator;
grant insert (key, transaction_id) on pgxa.idempotency to pgxa_application, pgxa_recovery;
-- A day that has no partition yet gets one from whoever decides first on it.
grant execute on function pgxa.make_partition to pgxa_application, pgxa_recovery, pgxa_operator;
grant execute on function pgxa.make_partitions to pgxa_recovery;
-- Retention. Days are dropped whole, and none that a participant could need (pgxa.who_needs).
grant execute on function pgxa.drop_oldest_day to pgxa_recovery;
grant delete on pgxa.idempotency, pgxa.coordinator to pgxa_recovery;
-- Which daemon works.
grant insert (name, holder, holder_id, term, expires_at) on pgxa.lease to pgxa_recovery;
grant update (holder, holder_id, term, renewed_at, expires_at) on pgxa.lease to pgxa_recovery;

-- Epochs. An update of some column is also what FOR KEY SHARE asks for.
grant insert (epoch, name, host, pid, version, heartbeat_limit_ms) on pgxa.coordinator
  to pgxa_application, pgxa_recovery;
grant update (heartbeat_at, guarded) on pgxa.coordinator to pgxa_application, pgxa_recovery;
grant update (retired_at, retired_by) on pgxa.coordinator
  to pgxa_application, pgxa_recovery, pgxa_operator;

-- Servers behind the names of participants.
grant insert (name, system_identifier, database_oid, database_name, timeline) on pgxa.participant
  to pgxa_application, pgxa_recovery, pgxa_operator;
grant update (database_name, timeline, last_seen_at) on pgxa.participant
  to pgxa_application, pgxa_recovery, pgxa_operator;
grant update (listed_at, oldest_in_doubt, listed_timeline) on pgxa.participant to pgxa_recovery;
grant update (retired_at) on pgxa.participant to pgxa_operator;

-- Records: everybody adds, nobody changes; only an operator acknowledges.
grant insert (gid, kind, transaction_id, participant, decision, evidence, found_by)
  on pgxa.heuristic to pgxa_application, pgxa_recovery, pgxa_operator;
grant update (acknowledged_at, acknowledged_by, acknowledged_reason) on pgxa.heuristic
  to pgxa_operator;
grant insert (actor, action, transaction_id, epoch, reason, before, after) on pgxa.audit
  to pgxa_application, pgxa_recovery, pgxa_operator;

commit;
