/** What the verbs of whoever sets pgxa up say behind their options. */

export const DAEMON_HELP = `
It stays in the foreground, under systemd or in a container. Two on one log share the participants, and each takes
over what the other one leaves. Its log goes to stdout: JSON lines, or words on a terminal.

Exit codes: 0 ended by SIGTERM or SIGINT; 1 failed; 2 wrong usage or configuration.

Examples:
  pgxa daemon --config /etc/pgxa/pgxa.yaml
  kill -HUP <pid>                            it reads the file again; one that is wrong changes nothing
`;

export const HEALTH_HELP = `
It is asked over HTTP, where daemon.http of the configuration says; for the health check of a container.

Exit codes: 0 it is; 1 it is not, or it does not answer in time; 2 wrong usage or configuration.

Examples:
  pgxa daemon health
  pgxa daemon health --ready
`;

export const MIGRATE_HELP = `
Safe at any time, by several at once, beside running programs. The role of decisionLog must be allowed to create a
schema; participants are not needed in the file. What --print prints is for review: run it with "pgxa migrate", which
notes what has been run.

Exit codes: 0 the schema is up to date; 1 failed, or the log does not answer; 2 wrong usage or configuration.

Examples:
  pgxa migrate --print | less
  pgxa migrate
`;

export const CONFIG_CHECK_HELP = `
Every problem is told with file, line and key, and no secret. "pgxa doctor" looks at the servers themselves.

Exit codes: 0 fine; 2 something is wrong with it.

Examples:
  pgxa config check
  pgxa config check --config /etc/pgxa/pgxa.yaml
`;
