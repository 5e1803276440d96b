/** What `doctor` asks servers. Every statement only reads. */
import { SERVER_FACTS_SQL } from '../participant/server-facts.ts';
import { EPOCH_LOCK } from '../decision-log/statements.ts';

/** Also settings that this program does not know: servers that end prepared transactions by themselves. */
export const CONDITION_SQL = `
  select current_setting('server_version_num')::int as version_number,
         pg_is_in_recovery() as in_recovery, session_user::text as login,
         current_database()::text as database,
         (select jsonb_object_agg(name, jsonb_build_object('value', setting, 'source', source))
            from pg_settings
           where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names',
                          'default_transaction_read_only', 'idle_in_transaction_session_timeout',
                          'idle_session_timeout', 'transaction_timeout',
                          'client_connection_check_interval')
              or name ~ 'orphan|prepared_(xact|trans)') as settings`;

/** Values that a role gets by ALTER ROLE or ALTER DATABASE; the narrower one counts. */
export const OTHER_DEFAULTS_SQL = `
  select distinct on (s.setrole) coalesce(r.rolname::text, '(every other role)') as role,
         substring(one from '=(.*)$') as value
    from pg_db_role_setting s
    left join pg_roles r on r.oid = s.setrole
   cross join lateral unnest(s.setconfig) one
   where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
     and one like 'synchronous\\_commit=%'
   order by s.setrole, s.setdatabase desc`;

/**
 * A subscriber of logical replication is no standby. Without the right to see them the rows have a pid
 * and nothing else.
 */
export const STANDBYS_SQL = `
  select count(*) filter (where state is null or state = 'streaming')::int as connected,
         count(*) filter (where sync_state in ('sync', 'quorum') and state = 'streaming')::int as synchronous,
         coalesce(bool_and(state is not null), true) as visible
    from pg_stat_replication
   where pid not in (select active_pid from pg_replication_slots
                      where slot_type = 'logical' and active_pid is not null)`;

export const CLOCK_SQL = `select extract(epoch from clock_timestamp()) * 1000 as now_ms`;

export const BACKEND_SQL = 'select pg_backend_pid() as pid';

export const SLOTS_AND_FACTS_SQL = `
  select facts.*, (select count(*)::int from pg_prepared_xacts) as slots_used
    from (${SERVER_FACTS_SQL}) facts`;

/**
 * $1: how gids of this log begin. SET ROLE asks for the rights of the role that has logged in; from 16 on
 * being a member is not enough. The names of programs are shown to everybody.
 */
export const RIGHTS_SQL = `
  with me as (select rolname, rolsuper from pg_roles where rolname = session_user),
       wanted as (select case when current_setting('server_version_num')::int >= 160000
                              then 'SET' else 'MEMBER' end as privilege),
       holder as (
         select owner::text as role, count(*)::int as branches, 0 as sessions from pg_prepared_xacts
          where database = current_database() and starts_with(gid, $1) group by 1
         union all
         select usename::text, 0, count(*)::int from pg_stat_activity
          where datname = current_database() and starts_with(application_name, 'pgxa ')
            and usename is not null and pid <> pg_backend_pid() group by 1),
       summed as (
         select role, sum(branches)::int as branches, sum(sessions)::int as sessions from holder group by 1)
  select me.rolsuper as superuser,
         coalesce((select jsonb_agg(jsonb_build_object(
                            'role', s.role, 'branches', s.branches, 'sessions', s.sessions,
                            'may_finish', me.rolsuper or coalesce(
                              r.rolname = session_user
                              or pg_has_role(session_user, r.oid, wanted.privilege), false)) order by s.role)
                     from summed s left join pg_roles r on r.rolname = s.role), '[]') as roles,
         array(select r.rolname::text from pg_roles r
                where r.rolcanlogin and r.rolname <> session_user
                  and pg_has_role(session_user, r.oid, wanted.privilege)
                order by 1 limit 10) as settable
    from me, wanted`;

export const ELSEWHERE_SQL = `
  select database::text as database, count(*)::int as count,
         (count(*) filter (where starts_with(gid, $1)))::int as ours
    from pg_prepared_xacts where database <> current_database() group by 1 order by 1`;

/** Answered to everybody, whatever their rights. */
export const SCHEMA_SQL = `
  select exists (select from pg_namespace where nspname = 'pgxa') as is_there`;

export const REGISTERED_SQL = `
  select distinct on (name) name as participant, system_identifier, database_oid, timeline, listed_timeline,
         extract(epoch from clock_timestamp() - listed_at) * 1000 as listed_age_ms,
         retired_at is not null and retired_at > greatest(last_seen_at, coalesce(listed_at, '-infinity'))
           as retired
    from pgxa.participant order by name, last_seen_at desc`;

export const LIVE_EPOCHS_SQL = `
  select c.epoch, c.name as coordinator, c.host, c.pid, c.version, c.guarded,
         extract(epoch from clock_timestamp() - c.started_at) * 1000 as age_ms,
         extract(epoch from clock_timestamp() - c.heartbeat_at) * 1000 as heartbeat_age_ms,
         c.heartbeat_limit_ms,
         extract(epoch from c.heartbeat_at)::text as heartbeat,
         c.guarded and not exists (
           select from pg_locks l
            where l.locktype = 'advisory' and l.granted and l.objsubid = 1
              and l.database = (select oid from pg_database where datname = current_database())
              and (l.classid::bigint << 32 | l.objid::bigint) = ${EPOCH_LOCK('c.epoch')}) as session_gone
    from pgxa.coordinator c where c.retired_at is null order by c.started_at desc limit 1000`;
