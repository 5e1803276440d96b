-- Lets a recovery login finish the branches of an application on one participant's server, without any
-- right of its own on the application's tables. Run it once per application role, on every server
-- that holds a participant, as a superuser or as a role that has ADMIN OPTION on the application's
-- role (on 14 and 15: CREATEROLE). It can be run again.
--
-- Why: COMMIT PREPARED is the right of the role that prepared the branch, and of superusers. Being a
-- member of that role is not enough, one has to be it: pgxa sends SET ROLE, COMMIT PREPARED and
-- RESET ROLE. The membership is therefore made so that it allows SET ROLE and gives nothing else.
--
-- Replace both names. Recovery needs a login of its own here: on PostgreSQL 14 and 15 "gives nothing
-- else" is a property of the login (NOINHERIT), which would also cut it off from pgxa_recovery where the
-- decision log is on the same server. Give the log another login then.
begin;
set local pgxa.application = 'my_application';
set local pgxa.recovery = 'my_recovery';

do $$
declare
  application text := current_setting('pgxa.application');
  recovery text := current_setting('pgxa.recovery');
begin
  if current_setting('server_version_num')::int >= 160000 then
    execute format('grant %I to %I with inherit false, set true', application, recovery);
  else
    execute format('alter role %I noinherit', recovery);
    execute format('grant %I to %I', application, recovery);
  end if;
end
$$;

commit;
