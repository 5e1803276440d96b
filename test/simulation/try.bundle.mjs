// src/config.ts
import { z } from "zod";

// src/errors.ts
var PgxaError = class extends Error {
  code;
  /** UUIDv7 of the transaction, where there was one. */
  transactionId;
  /** Name of the participant that is to blame, where there is one. */
  participant;
  constructor(code, message, fields = {}) {
    super(message, fields.cause === void 0 ? void 0 : { cause: fields.cause });
    this.name = new.target.name;
    this.code = code;
    this.transactionId = fields.transactionId;
    this.participant = fields.participant;
  }
};
var RolledBackError = class extends PgxaError {
  retryable;
  /** With PGXA_ALREADY_DONE: the committed transaction that carries the same idempotency key. */
  existingTransactionId;
  constructor(code, message, fields) {
    super(code, message, fields);
    this.retryable = fields.retryable;
    this.existingTransactionId = fields.existingTransactionId;
  }
};
var OutcomeUnknownError = class extends PgxaError {
  constructor(message, fields) {
    super("PGXA_OUTCOME_UNKNOWN", message, fields);
  }
};
var HeuristicOutcomeError = class extends PgxaError {
  /** How the branch ended: `hazard` means that nobody can tell. */
  kind;
  constructor(message, fields) {
    super("PGXA_HEURISTIC_OUTCOME", message, fields);
    this.kind = fields.kind;
  }
};
var ConfigError = class extends PgxaError {
};
var MisuseError = class extends PgxaError {
};
function toError(thrown) {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

// src/config.ts
var connectionString = z.string().refine(
  isConnectionString,
  "expected a URL such as postgresql://user@host:5432/database (percent-encode the password)"
);
var connectionFields = {
  connectionString: connectionString.optional(),
  host: z.string().min(1).optional(),
  port: z.number().int().min(1).max(65535).optional(),
  user: z.string().min(1).optional(),
  password: z.union(
    [
      z.string(),
      z.custom((value) => typeof value === "function")
    ],
    "expected a string, or a function that returns one"
  ).optional(),
  database: z.string().min(1).optional(),
  ssl: z.union(
    [z.boolean(), z.record(z.string(), z.unknown())],
    "expected true, false, or the options of tls.connect()"
  ).optional()
};
var poolLike = z.custom(
  (value) => typeof value === "object" && value !== null && typeof value.connect === "function",
  "expected a node-postgres Pool (an object with connect())"
);
var participantSchema = z.strictObject({
  ...connectionFields,
  pool: poolLike.optional(),
  max: z.number().int().min(1).max(1e3).optional(),
  lockTimeoutMs: z.number().int().min(1).max(36e5).default(1e4)
}).refine((value) => value.pool === void 0 || value.max === void 0, {
  path: ["max"],
  message: "the size of a pool that you made is set where you make it"
}).superRefine(refuseSecondPlace).refine(hasPlace, {
  message: "expected connectionString, pool, or host/database settings"
});
var logSchema = z.strictObject(connectionFields).superRefine(refuseSecondPlace).refine(hasPlace, { message: "expected connectionString or host/database settings" });
function isConnectionString(text2) {
  if (text2.startsWith("/")) return true;
  if (!/^(postgres|postgresql|socket):/i.test(text2)) return false;
  return URL.canParse(text2) || URL.canParse(text2.replace("@/", "@host/"));
}
function refuseSecondPlace(value, context) {
  if (value["connectionString"] === void 0) return;
  for (const key of ["host", "port", "user", "password", "database"]) {
    if (value[key] === void 0) continue;
    const message = "has no effect beside connectionString: write it in there, or use settings only";
    context.addIssue({ code: "custom", path: [key], message });
  }
}
function hasPlace(value) {
  return ["connectionString", "pool", "host", "database"].some(
    (key) => value[key] !== void 0
  );
}
var participantName = z.string().regex(
  /^[A-Za-z][A-Za-z0-9_-]{0,62}$/,
  "expected a letter, then up to 62 letters, digits, _ or -"
);
var configSchema = z.strictObject({
  coordinator: text(200).min(1),
  decisionLog: logSchema,
  participants: z.record(participantName, participantSchema),
  timeoutMs: z.number().int().min(1).max(864e5).default(3e4),
  heartbeatLimitMs: z.number().int().min(1e3).max(36e5).default(1e4),
  connectTimeoutMs: z.number().int().min(1).max(6e5).default(5e3)
}).refine((value) => Object.keys(value.participants).length > 0, {
  path: ["participants"],
  message: "expected at least one participant"
});
function text(max) {
  return z.string().max(max).refine((value) => !value.includes("\0"), "expected a text without NUL characters");
}
var isolationLevels = ["read committed", "repeatable read", "serializable"];
var abortSignal = z.custom(
  (value) => typeof value === "object" && value !== null && typeof value.aborted === "boolean",
  "expected an AbortSignal"
);
var runSchema = z.strictObject({
  label: text(200).optional(),
  timeoutMs: z.number().int().min(1).max(864e5).optional(),
  signal: abortSignal.optional(),
  idempotencyKey: text(200).min(1).optional(),
  isolationLevel: z.enum(isolationLevels).optional(),
  readOnly: z.boolean().optional(),
  retry: z.strictObject({ attempts: z.number().int().min(1).max(100) }).optional()
});
function parseConfig(input) {
  const parsed = configSchema.safeParse(input);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new ConfigError("PGXA_CONFIG_INVALID", `configuration: ${describe(parsed.error)}`);
}
function parseRunOptions(input) {
  const parsed = runSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new MisuseError("PGXA_INVALID_ARGUMENT", `transaction options: ${describe(parsed.error)}`);
}
function describe(error) {
  return error.issues.map((issue) => {
    const path = issue.path.length === 0 ? "(top level)" : issue.path.join(".");
    const inner = issue.code === "invalid_key" ? issue.issues : [issue];
    return `${path}: ${inner.map(({ message }) => message).join(", ")}`;
  }).join("; ");
}

// src/decision-log/migrate.ts
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { migrate } from "postgres-migrations";

// src/postgres/once.ts
import pg from "pg";

// src/postgres/end.ts
var END_TIMEOUT_MS = 1e3;
async function endClient(client) {
  const timer = setTimeout(() => {
    destroyClient(client);
  }, END_TIMEOUT_MS);
  try {
    await client.end();
  } catch {
  } finally {
    clearTimeout(timer);
  }
}
function destroyClient(client) {
  const { connection } = client;
  connection.stream.destroy();
}
function cutOff(client) {
  const { connection } = client;
  connection?.stream?.destroy?.();
}

// src/postgres/once.ts
var CONNECT_TIMEOUT_MS = 1e4;
async function connectOnce(settings) {
  const client = new pg.Client({
    application_name: "pgxa",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    ...settings
  });
  client.on("error", () => void 0);
  await client.connect();
  return {
    query: async (text2, values) => (await client.query(text2, values === void 0 ? [] : [...values])).rows,
    raw: client,
    destroy: () => {
      destroyClient(client);
    },
    end: () => endClient(client)
  };
}

// src/decision-log/migrate.ts
var HUNG_AFTER_MS = 15 * 6e4;
function schemaVersion() {
  const ids = readdirSync(migrationsDirectory()).flatMap((file) => {
    const match = /^(\d+)[-_].*\.sql$/.exec(file);
    return match === null ? [] : [Number(match[1])];
  });
  return Math.max(...ids);
}
function assertSchemaVersion(found) {
  const known2 = schemaVersion();
  if (found === void 0 || found < known2) {
    throw new ConfigError(
      "PGXA_LOG_NOT_MIGRATED",
      `the decision log has schema version ${found ?? "none"}, this program needs ${known2}: run migrateDecisionLog() on it first`
    );
  }
  if (found > known2) {
    throw new ConfigError(
      "PGXA_LOG_TOO_NEW",
      `the decision log has schema version ${found}, this program knows up to ${known2}: upgrade pgxa in this program`
    );
  }
}
async function connectToLog(settings) {
  try {
    return await connectOnce(settings);
  } catch (error) {
    throw new ConfigError(
      "PGXA_LOG_UNREACHABLE",
      `cannot connect to the decision log: ${toError(error).message}`,
      { cause: error }
    );
  }
}
async function readSchemaVersion(client) {
  const found = await client.query(`select to_regclass('pgxa.migrations') is not null as present`);
  if (found[0]?.["present"] !== true) return void 0;
  const rows = await client.query("select max(id)::int as version from pgxa.migrations");
  return rows[0]?.["version"];
}
function migrationsDirectory() {
  const here = dirname(fileURLToPath(import.meta.url));
  const compiled = here.includes(join("dist", "src"));
  return join(here, compiled ? "../../../migrations" : "../../migrations");
}

// src/postgres/dedicated-connection.ts
import pg2 from "pg";

// src/postgres/connection-lost.ts
var ConnectionLostError = class extends Error {
  name = "ConnectionLostError";
};

// src/postgres/dedicated-connection.ts
var READ_ONLY = "25006";
var DedicatedConnection = class {
  #options;
  #session;
  #pending = 0;
  #closed = false;
  /** Backend whose reply did not come in time: it may hang there, and is ended with the next session. */
  #stale;
  constructor(options) {
    this.#options = options;
  }
  /** Commands whose reply has not come yet. */
  get pending() {
    return this.#pending;
  }
  /**
   * Runs one command. Rejects with the server's error, or with an error without SQLSTATE when the
   * reply is lost or late: the command may then have been carried out, now or later.
   */
  async run(command) {
    const [reply] = await this.runAdjacent([command]);
    if (reply === void 0) throw new Error("unreachable: one command has one reply");
    if (reply.status === "rejected") throw reply.reason;
    return reply.value;
  }
  /**
   * Sends several commands so that no other command of this connection comes between them; each is
   * carried out whether or not the one before it failed.
   */
  async runAdjacent(commands) {
    this.#pending += commands.length;
    try {
      const session = await this.#connect();
      return await Promise.allSettled(
        commands.map((command) => this.#submit(session, command))
      );
    } catch (error) {
      return commands.map(() => ({ status: "rejected", reason: error }));
    } finally {
      this.#pending -= commands.length;
    }
  }
  /**
   * The session has led to the wrong server: the next command makes a new one, which may lead to the right one
   * by now. Commands in flight get their replies.
   */
  renew() {
    const session = this.#session;
    this.#session = void 0;
    void session?.then(
      ({ client }) => endClient(client),
      () => void 0
    );
  }
  /** Ends the session. Commands in flight fail. Later commands fail. */
  async close() {
    this.#closed = true;
    const session = this.#session;
    this.#session = void 0;
    if (session === void 0) return;
    try {
      await endClient((await session).client);
    } catch {
    }
  }
  #connect() {
    if (this.#closed) return Promise.reject(new ConnectionLostError("the connection is closed"));
    this.#session ??= this.#open();
    return this.#session;
  }
  #open() {
    const { config, connectTimeoutMs, onConnect, onNotification } = this.#options;
    const client = new pg2.Client({
      keepAlive: true,
      ...config,
      pipeline: true,
      connectionTimeoutMillis: connectTimeoutMs
    });
    const session = { client, inFlight: [] };
    const forget = () => {
      if (this.#session === opened) this.#session = void 0;
    };
    client.on("error", forget);
    client.on("end", forget);
    client.on("notice", (notice) => {
      session.inFlight[0]?.push(notice.code ?? "");
    });
    if (onNotification !== void 0) {
      client.on("notification", ({ channel, payload }) => {
        onNotification(channel, payload);
      });
    }
    const opened = (async () => {
      try {
        await client.connect();
        await onConnect?.((command) => this.#submit(session, command));
        await this.#endStale(session);
        return session;
      } catch (error) {
        forget();
        destroyClient(client);
        throw error;
      }
    })();
    return opened;
  }
  /** Statements that nobody waits for any more must not pile up on a server that is slow to answer. */
  async #endStale(session) {
    const stale = this.#stale;
    this.#stale = void 0;
    if (stale === void 0) return;
    try {
      await this.#submit(session, {
        text: `select pg_terminate_backend(pid) from pg_stat_activity
                where pid = $1 and state <> 'idle' and usename = current_user
                  and application_name = current_setting('application_name')`,
        values: [stale]
      });
    } catch {
    }
  }
  #submit(session, command) {
    const { client, inFlight } = session;
    const notices = [];
    inFlight.push(notices);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        settle2(
          new ConnectionLostError(`no reply within ${this.#options.commandTimeoutMs} ms`),
          void 0
        );
        this.#stale = client.processID ?? void 0;
        destroyClient(client);
      }, this.#options.commandTimeoutMs);
      const settle2 = (error, result) => {
        clearTimeout(timer);
        const at = inFlight.indexOf(notices);
        if (at !== -1) inFlight.splice(at, 1);
        if (error !== null || result === void 0) {
          if (error?.code === READ_ONLY) this.renew();
          reject(error ?? new ConnectionLostError("no result"));
        } else {
          const { rows, rowCount, command: tag } = result;
          resolve({ rows, rowCount, command: tag, notices });
        }
      };
      const query = { text: command.text, values: command.values, name: command.name };
      void client.query(query, settle2);
    });
  }
};
var ConnectionGroup = class {
  #connections;
  constructor(size, options) {
    this.#connections = Array.from({ length: size }, () => new DedicatedConnection(options));
  }
  run(command) {
    return this.#leastLoaded().run(command);
  }
  runAdjacent(commands) {
    return this.#leastLoaded().runAdjacent(commands);
  }
  /** See DedicatedConnection.renew: where one of them has led, all may have. */
  renew() {
    for (const connection of this.#connections) connection.renew();
  }
  async close() {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }
  #leastLoaded() {
    let best;
    for (const connection of this.#connections) {
      if (best === void 0 || connection.pending < best.pending) best = connection;
    }
    if (best === void 0) throw new Error("a connection group has at least one connection");
    return best;
  }
};

// src/decision-log/decision-log.ts
var SESSION_GONE_AFTER_MS = 2e3;

// src/decision-log/group-commit.ts
var GroupCommit = class {
  #write;
  #batchMax;
  #waiting = [];
  #writing = false;
  /**
   * @param write answers every request of the batch, in order. If it rejects, all of them do.
   * @param batchMax bounds the size of a statement.
   */
  constructor(write, batchMax) {
    this.#write = write;
    this.#batchMax = batchMax;
  }
  submit(request) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      if (!this.#writing) void this.#writeAll();
    });
  }
  async #writeAll() {
    this.#writing = true;
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#batchMax);
      try {
        const replies = await this.#write(batch.map(({ request }) => request));
        batch.forEach(({ resolve }, index) => {
          resolve(replies[index]);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#writing = false;
  }
};

// src/decision-log/rows.ts
function statementGroups(batch) {
  const groups = [];
  for (const request of batch) {
    const { epoch, idempotencyKey: key } = request;
    let group = groups.find(
      (one) => one.epoch === epoch && (key === void 0 || !one.keys.has(key))
    );
    if (group === void 0) {
      group = { epoch, keys: /* @__PURE__ */ new Set(), requests: [] };
      groups.push(group);
    }
    if (key !== void 0) group.keys.add(key);
    group.requests.push(request);
  }
  return groups.map(({ requests }) => requests);
}
function decideValues(group) {
  return [
    group[0]?.epoch,
    group.map(({ transactionId }) => transactionId),
    group.map(({ label }) => label ?? null),
    group.map(
      ({ branches }) => JSON.stringify(
        branches.map(({ participant, branch, xid, server }) => ({
          participant,
          branch,
          xid,
          system: server.systemIdentifier,
          timeline: server.timeline
        }))
      )
    ),
    group.map(({ idempotencyKey }) => idempotencyKey ?? null)
  ];
}
function answerAll(group, reply) {
  return new Map(group.map((request) => [request, reply]));
}
function unanswered() {
  return { kind: "unknown", error: new Error("the decision was not answered") };
}
function standingOf(row2) {
  return {
    decision: row2.outcome,
    decidedBy: row2.decided_by,
    decidedAt: row2.decided_at,
    label: row2.label ?? void 0,
    branches: row2.branches.map(
      ({ participant, branch, xid, system, timeline }) => ({
        participant,
        branch,
        xid,
        systemIdentifier: system,
        timeline
      })
    )
  };
}

// src/decision-log/statements.ts
var DECIDE_SQL = `
  with input as materialized (
         select * from unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[])
                    as t (transaction_id, label, branches, key)),
       alive as materialized (
         select epoch from pgxa.coordinator where epoch = $1 and retired_at is null for key share),
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
var ABORT_SQL = `
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
  select t.transaction_id, t.epoch, 'abort', $1
    from unnest($2::uuid[], $3::text[]) as t (transaction_id, epoch)
   order by t.transaction_id
      on conflict (transaction_id) do nothing`;
var DECISIONS_SQL = `
  select transaction_id::text as transaction_id, outcome, decided_by, decided_at, label, branches
    from pgxa.decision where transaction_id = any ($1::uuid[])`;
var DURABILITY_BARRIER_SQL = `select pg_logical_emit_message(true, 'pgxa', 'barrier')`;
var KEY_SQL = "select transaction_id::text as transaction_id from pgxa.idempotency where key = $1";
var KEYS_SQL = `
  select key, transaction_id::text as transaction_id from pgxa.idempotency where key = any ($1)`;
var REGISTER_COORDINATOR_SQL = `
  insert into pgxa.coordinator (epoch, name, host, pid, version) values ($1, $2, $3, $4, $5)`;
var EPOCH_LOCK = (epoch) => `('x' || ${epoch})::bit(64)::bigint`;
var LOCK_EPOCH_SQL = `select pg_try_advisory_lock(${EPOCH_LOCK("$1")}) as locked`;
var HEARTBEAT_SQL = `
  update pgxa.coordinator
     set heartbeat_at = clock_timestamp(),
         guarded = exists (
           select from pg_locks
            where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
              and database = (select oid from pg_database where datname = current_database())
              and (classid::bigint << 32 | objid::bigint) = ${EPOCH_LOCK("$1")})
   where epoch = $1 and retired_at is null`;
var EPOCHS_SQL = `
  select c.epoch, c.name, c.retired_at is not null as retired,
         extract(epoch from clock_timestamp() - c.heartbeat_at) * 1000 as heartbeat_age_ms,
         extract(epoch from c.heartbeat_at)::text as heartbeat,
         c.guarded and not exists (
           select from pg_locks l
            where l.locktype = 'advisory' and l.granted and l.objsubid = 1
              and l.database = (select oid from pg_database where datname = current_database())
              and (l.classid::bigint << 32 | l.objid::bigint) = ${EPOCH_LOCK("c.epoch")})
           as session_gone
    from pgxa.coordinator c where c.epoch = any ($1)`;
var RETIRE_SQL = `
  with candidate as materialized (
    select epoch from pgxa.coordinator
     where epoch = $1 and retired_at is null
       and (heartbeat_at < clock_timestamp() - $2 * interval '1 millisecond'
            or (guarded and heartbeat_at < clock_timestamp() - $3 * interval '1 millisecond'
                and pg_try_advisory_xact_lock(${EPOCH_LOCK("$1")})))
       for update)
  update pgxa.coordinator c set retired_at = clock_timestamp(), retired_by = 'recovery'
    from candidate where c.epoch = candidate.epoch`;
var IS_RETIRED_SQL = `
  select retired_at is not null as retired from pgxa.coordinator where epoch = $1`;
var END_EPOCH_SQL = `
  update pgxa.coordinator set retired_at = clock_timestamp(), retired_by = 'coordinator'
   where epoch = $1 and retired_at is null`;
var REGISTER_PARTICIPANT_SQL = `
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
var RECORD_HEURISTIC_SQL = `
  insert into pgxa.heuristic (gid, kind, transaction_id, participant, decision, evidence, found_by)
  values ($1, $2, $3, $4, $5, $6, $7)
      on conflict (gid, kind) do nothing`;
var INSTALLATION_SQL = `select id from pgxa.installation`;

// src/decision-log/postgres-decision-log.ts
var REPLY_TIMEOUT_MS = 5e3;
var STATEMENT_TIMEOUT_MS = 4500;
var BATCH_MAX = 512;
var READ_CONNECTIONS = 2;
var SETTLE_CONNECTIONS = 2;
var PostgresDecisionLog = class {
  installation;
  #coordinator;
  /** Decides, and does nothing else: a statement that waits holds up the commits behind it. */
  #decider;
  /** Holds the advisory lock of the epoch; heartbeats go through it. */
  #session;
  #reads;
  /** Tombstones wait for decisions that are being written: they must not hold up the reads. */
  #settles;
  #commits;
  #epoch;
  constructor(options) {
    this.installation = options.installation;
    this.#coordinator = options.coordinator;
    const connection = {
      config: { application_name: `pgxa ${options.coordinator}`, ...options.settings },
      connectTimeoutMs: options.connectTimeoutMs,
      commandTimeoutMs: REPLY_TIMEOUT_MS,
      onConnect: setUpSession
    };
    this.#decider = new DedicatedConnection(connection);
    this.#reads = new ConnectionGroup(READ_CONNECTIONS, connection);
    this.#settles = new ConnectionGroup(SETTLE_CONNECTIONS, connection);
    this.#session = new DedicatedConnection({
      ...connection,
      onConnect: async (run2) => {
        await setUpSession(run2);
        if (this.#epoch !== void 0) {
          await run2({ text: LOCK_EPOCH_SQL, values: [this.#epoch] });
        }
      }
    });
    this.#commits = new GroupCommit((batch) => this.#decideAll(batch), BATCH_MAX);
  }
  decide(request) {
    return this.#commits.submit(request);
  }
  async settle(requests, decidedBy2) {
    const ids = requests.map(({ transactionId }) => transactionId);
    await this.#settles.run({
      text: ABORT_SQL,
      values: [decidedBy2, ids, requests.map(({ epoch }) => epoch)]
    });
    return this.decisionsOf(ids);
  }
  async decisionsOf(transactionIds) {
    if (transactionIds.length === 0) return /* @__PURE__ */ new Map();
    const { rows } = await this.#reads.run({
      text: DECISIONS_SQL,
      values: [transactionIds]
    });
    if (rows.length > 0) await this.#proveDurable();
    return new Map(rows.map((row2) => [row2.transaction_id, standingOf(row2)]));
  }
  async findByIdempotencyKey(key) {
    const { rows } = await this.#reads.run({
      text: KEY_SQL,
      values: [key]
    });
    if (rows[0] !== void 0) await this.#proveDurable();
    return rows[0]?.transaction_id;
  }
  async registerCoordinator(info) {
    await this.#reads.run({
      text: REGISTER_COORDINATOR_SQL,
      values: [info.epoch, info.name, info.host, info.pid, info.version]
    });
    this.#epoch = info.epoch;
    await this.#session.run({ text: LOCK_EPOCH_SQL, values: [info.epoch] });
    await this.heartbeat(info.epoch);
  }
  async heartbeat(epoch) {
    const { rowCount } = await this.#session.run({ text: HEARTBEAT_SQL, values: [epoch] });
    return rowCount === 1;
  }
  async epochsOf(epochs2) {
    if (epochs2.length === 0) return /* @__PURE__ */ new Map();
    const { rows } = await this.#reads.run({ text: EPOCHS_SQL, values: [epochs2] });
    return new Map(
      rows.map((row2) => [
        row2.epoch,
        {
          coordinator: row2.name,
          retired: row2.retired,
          heartbeatAgeMs: Number(row2.heartbeat_age_ms),
          heartbeat: row2.heartbeat,
          sessionGone: row2.session_gone
        }
      ])
    );
  }
  async retire(epoch, heartbeatLimitMs) {
    const goneAfterMs = Math.min(SESSION_GONE_AFTER_MS, heartbeatLimitMs);
    await this.#settles.run({
      text: RETIRE_SQL,
      values: [epoch, heartbeatLimitMs, goneAfterMs]
    });
    const { rows } = await this.#reads.run({
      text: IS_RETIRED_SQL,
      values: [epoch]
    });
    return rows[0]?.retired === true;
  }
  async endEpoch(epoch) {
    await this.#session.run({ text: END_EPOCH_SQL, values: [epoch] });
  }
  async registerParticipant(name, server, databaseName) {
    const { systemIdentifier, databaseOid, timeline } = server;
    const { rows } = await this.#reads.run({
      text: REGISTER_PARTICIPANT_SQL,
      values: [name, systemIdentifier, databaseOid, databaseName, timeline, this.#coordinator]
    });
    return rows[0]?.replaces ?? void 0;
  }
  async recordHeuristic(record2) {
    const { gid, kind, transactionId, participant, decision, evidence, foundBy } = record2;
    const { rowCount } = await this.#reads.run({
      text: RECORD_HEURISTIC_SQL,
      values: [gid, kind, transactionId, participant, decision, evidence, foundBy]
    });
    return rowCount === 1;
  }
  async close() {
    const all = [this.#decider, this.#session, this.#reads, this.#settles];
    await Promise.all(all.map((one) => one.close()));
  }
  /** As few statements as can be: one, unless the batch holds two epochs or one key twice. */
  async #decideAll(batch) {
    const replies = /* @__PURE__ */ new Map();
    for (const group of statementGroups(batch)) {
      for (const [request, reply] of await this.#decideGroup(group)) replies.set(request, reply);
    }
    return batch.map((request) => replies.get(request) ?? unanswered());
  }
  async #decideGroup(group) {
    let reply;
    try {
      reply = await this.#decider.run({
        name: "pgxa_decide",
        text: DECIDE_SQL,
        values: decideValues(group)
      });
    } catch (thrown) {
      return this.#judgeFailure(group, toError(thrown));
    }
    if (reply.notices.includes("01000") || reply.notices.includes("57P01")) {
      const error = new Error("the decision was not confirmed by the synchronous standby");
      return answerAll(group, { kind: "unknown", error });
    }
    const decided = new Set(reply.rows.map((row2) => row2.transaction_id));
    const lost = group.filter(({ transactionId }) => !decided.has(transactionId));
    const answers2 = await this.#whyLost(lost);
    for (const request of group) {
      if (decided.has(request.transactionId)) answers2.set(request, { kind: "commit" });
    }
    return answers2;
  }
  /** Not decided by us: a decision stood, or the epoch is retired. */
  async #whyLost(lost) {
    const answers2 = /* @__PURE__ */ new Map();
    if (lost.length === 0) return answers2;
    try {
      const standing = await this.decisionsOf(lost.map(({ transactionId }) => transactionId));
      for (const request of lost) {
        const found = standing.get(request.transactionId);
        if (found === void 0) answers2.set(request, { kind: "fenced" });
        else if (found.decision === "commit") answers2.set(request, { kind: "commit" });
        else answers2.set(request, { kind: "abort", decidedBy: found.decidedBy });
      }
      return answers2;
    } catch (thrown) {
      return answerAll(lost, { kind: "unknown", error: toError(thrown) });
    }
  }
  /**
   * A taken key fails the whole statement, so nothing of it is written: those whose key is taken have
   * their answer, the others try again without them. Any other failure leaves the fate open.
   */
  async #judgeFailure(group, error) {
    const sqlstate = error.code;
    if (group.length > 1 && typeof sqlstate === "string" && sqlstate.startsWith("22")) {
      const alone = await Promise.all(group.map((request) => this.#decideGroup([request])));
      return new Map(alone.flatMap((answers3) => [...answers3]));
    }
    const keyTaken = error.constraint === "idempotency_pkey";
    if (!keyTaken) return answerAll(group, { kind: "unknown", error });
    const taken = await this.#takenKeys(group).catch(() => void 0);
    if (taken === void 0 || taken.size === 0)
      return answerAll(group, { kind: "unknown", error });
    const answers2 = /* @__PURE__ */ new Map();
    const others = [];
    for (const request of group) {
      const existing = taken.get(request.idempotencyKey ?? "");
      if (existing === void 0) others.push(request);
      else answers2.set(request, { kind: "already-done", transactionId: existing });
    }
    if (others.length > 0) {
      for (const [request, reply] of await this.#decideGroup(others)) answers2.set(request, reply);
    }
    return answers2;
  }
  /** Keys of the group that are taken, each with the transaction that took it. */
  async #takenKeys(group) {
    const keys = group.flatMap(({ idempotencyKey }) => idempotencyKey ?? []);
    const { rows } = await this.#reads.run({
      text: KEYS_SQL,
      values: [keys]
    });
    if (rows.length > 0) await this.#proveDurable();
    return new Map(rows.map((row2) => [row2.key, row2.transaction_id]));
  }
  async #proveDurable() {
    const { notices } = await this.#reads.run({ text: DURABILITY_BARRIER_SQL });
    if (notices.includes("01000") || notices.includes("57P01")) {
      throw new Error("the decision log could not confirm that its decisions are replicated");
    }
  }
};
async function setUpSession(run2) {
  const { rows } = await run2({
    text: `select set_config('default_transaction_isolation', 'read committed', false),
                  -- Nobody waits longer; what is given up must not pile up there.
                  set_config('statement_timeout', '${STATEMENT_TIMEOUT_MS}', false),
                  set_config('lock_timeout', '${STATEMENT_TIMEOUT_MS}', false),
                  -- "not replicated" is a warning: hidden, it would be a promise.
                  set_config('client_min_messages', 'warning', false),
                  case when current_setting('synchronous_commit') = 'off'
                       then set_config('synchronous_commit', 'on', false) end,
                  pg_is_in_recovery() as standby`
  });
  if (rows[0]?.standby === true) throw new ConnectionLostError("the decision log is a standby");
}

// src/decision-log/open.ts
var OPEN_TIMEOUT_MS = 5e3;
async function openDecisionLog(options) {
  const client = await connectToLog({
    connectionTimeoutMillis: options.connectTimeoutMs,
    ...options.settings
  });
  const timer = setTimeout(() => {
    client.destroy();
  }, OPEN_TIMEOUT_MS);
  try {
    await assertPrimary(client);
    await assertPrivileges(client);
    assertSchemaVersion(await readSchemaVersion(client));
    const [row2] = await client.query(INSTALLATION_SQL);
    return new PostgresDecisionLog({ ...options, installation: String(row2?.["id"]) });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      "PGXA_LOG_NOT_USABLE",
      `cannot look at the decision log: ${toError(error).message}`,
      { cause: error }
    );
  } finally {
    clearTimeout(timer);
    await client.end();
  }
}
async function assertPrimary(client) {
  const [row2] = await client.query("select pg_is_in_recovery() as standby");
  if (row2?.["standby"] === true) {
    throw new ConfigError(
      "PGXA_LOG_NOT_USABLE",
      "the decision log is a standby (pg_is_in_recovery() is true): connect to the primary"
    );
  }
}
async function assertPrivileges(client) {
  const [row2] = await client.query(`
    select current_user::text as role,
           case when to_regnamespace('pgxa') is null then true
                when not has_schema_privilege('pgxa', 'usage') then false
                when to_regclass('pgxa.decision') is null then true
                else has_table_privilege('pgxa.migrations', 'select')
                     and has_table_privilege('pgxa.installation', 'select')
                     and has_table_privilege('pgxa.decision', 'select')
                     and has_column_privilege('pgxa.decision', 'outcome', 'insert')
                     and has_column_privilege('pgxa.coordinator', 'epoch', 'insert')
                     and has_column_privilege('pgxa.coordinator', 'heartbeat_at', 'update')
           end as allowed`);
  if (row2?.["allowed"] !== true) {
    throw new ConfigError(
      "PGXA_LOG_NOT_USABLE",
      `role "${String(row2?.["role"])}" may not use the decision log: grant it pgxa_application (see sql/roles.sql)`
    );
  }
}

// src/events.ts
import diagnostics from "node:diagnostics_channel";
var channels = /* @__PURE__ */ new Map();
var publish = (name, payload) => {
  let channel = channels.get(name);
  if (channel === void 0) {
    channel = diagnostics.channel(`pgxa:${name}`);
    channels.set(name, channel);
  }
  if (channel.hasSubscribers) channel.publish(payload);
};

// src/patience.ts
async function within(runtime, ms, work) {
  if (!Number.isFinite(ms)) return work();
  let cancel = () => void 0;
  const tooLate = new Promise((resolve) => {
    cancel = runtime.after(ms, () => {
      resolve(void 0);
    });
  });
  try {
    return await Promise.race([work(), tooLate]);
  } finally {
    cancel();
  }
}
async function untilAborted(signal, work) {
  let onAbort = () => void 0;
  const aborted = new Promise((_, reject) => {
    onAbort = () => {
      reject(toError(signal.reason));
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  if (signal.aborted) onAbort();
  work.catch(() => void 0);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

// src/postgres/pool.ts
import pg3 from "pg";
var POOL_MAX_DEFAULT = 10;
function createPool(settings) {
  const pool = new pg3.Pool(settings);
  const clients = /* @__PURE__ */ new Set();
  pool.on("error", () => void 0);
  pool.on("connect", (client) => clients.add(client));
  hearErrors(pool);
  pool.on("remove", (client) => clients.delete(client));
  return {
    pool,
    end: async (timeoutMs) => {
      const timer = setTimeout(() => {
        for (const client of clients) destroyClient(client);
      }, timeoutMs);
      const ended = pool.end().then(async () => {
        while (clients.size > 0) await new Promise((resolve) => pool.once("remove", resolve));
      });
      const allCutOff = new Promise(
        (resolve) => setTimeout(resolve, timeoutMs + 100).unref()
      );
      await Promise.race([ended, allCutOff]);
      clearTimeout(timer);
    }
  };
}
function hearErrors(pool) {
  const { on } = pool;
  on?.call(pool, "connect", (client) => {
    client.on("error", () => void 0);
  });
}
function poolMax(pool) {
  const max = pool.options?.max;
  return typeof max === "number" && max > 0 ? max : POOL_MAX_DEFAULT;
}
function settingsOfPool(pool) {
  if (pool.options === void 0) return void 0;
  const options = pool.options;
  const picked = {};
  for (const key of CLIENT_SETTINGS) {
    const value = options[key];
    if (value !== void 0) picked[key] = value;
  }
  return picked;
}
var CLIENT_SETTINGS = [
  "connectionString",
  "host",
  "port",
  "user",
  "password",
  "database",
  "ssl",
  "sslnegotiation",
  "enableChannelBinding",
  "keepAlive",
  "keepAliveInitialDelayMillis",
  "stream",
  "options"
];

// src/participant/gid.ts
var INSTALLATION = /^[0-9a-f]{12}$/;
var EPOCH = /^[0-9a-f]{16}$/;
var UUID = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/;
var GID = /^pgxa_([0-9a-f]{12})_([0-9a-f]{16})_([0-9a-f]{32})_([1-9][0-9]{0,3})$/;
var BRANCHES_MAX = 9999;
function formatGid(gid) {
  const uuid = UUID.exec(gid.transactionId);
  const ordinal = Number.isInteger(gid.branch) && gid.branch >= 1 && gid.branch <= BRANCHES_MAX;
  if (!INSTALLATION.test(gid.installation) || !EPOCH.test(gid.epoch) || uuid === null || !ordinal) {
    throw new RangeError(`not the parts of a gid: ${JSON.stringify(gid)}`);
  }
  return `pgxa_${gid.installation}_${gid.epoch}_${uuid.slice(1).join("")}_${gid.branch}`;
}
function parseGid(text2) {
  const match = GID.exec(text2);
  if (match === null) return void 0;
  const [, installation = "", epoch = "", hex = "", branch = ""] = match;
  const transactionId = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20)
  ].join("-");
  return { installation, epoch, transactionId, branch: Number(branch) };
}
function quoteGid(text2) {
  if (!GID.test(text2)) throw new RangeError(`not a gid of pgxa: ${JSON.stringify(text2)}`);
  return `'${text2}'`;
}

// src/participant/server-facts.ts
var SERVER_FACTS_SQL = `
  select pg_backend_pid() as pid,
         (select extract(epoch from backend_start)::text
            from pg_stat_activity where pid = pg_backend_pid()) as started_at,
         pg_is_in_recovery() as in_recovery,
         (select system_identifier::text from pg_control_system()) as system_identifier,
         case when pg_is_in_recovery() then ''
              else left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
         (select oid::text from pg_database where datname = current_database()) as database_oid,
         current_database()::text as database_name,
         extract(epoch from pg_postmaster_start_time())::text as running_since,
         current_setting('server_version_num')::int as version_number,
         (select jsonb_object_agg(name, setting) from pg_settings
           where name in ('max_prepared_transactions', 'lock_timeout', 'statement_timeout',
                          'idle_in_transaction_session_timeout',
                          'default_transaction_isolation')) as settings`;
function factsOfRow(row2) {
  const setting = (name) => Number(row2.settings[name] ?? 0);
  return {
    server: {
      systemIdentifier: row2.system_identifier,
      timeline: row2.timeline,
      databaseOid: row2.database_oid
    },
    backend: { pid: row2.pid, startedAt: row2.started_at },
    inRecovery: row2.in_recovery,
    databaseName: row2.database_name,
    runningSince: row2.running_since,
    versionNumber: row2.version_number,
    maxPreparedTransactions: setting("max_prepared_transactions"),
    lockTimeoutMs: setting("lock_timeout"),
    statementTimeoutMs: setting("statement_timeout"),
    idleTimeoutMs: setting("idle_in_transaction_session_timeout"),
    defaultIsolation: row2.settings["default_transaction_isolation"] ?? ""
  };
}
function isSameDatabase(a, b) {
  return a.systemIdentifier === b.systemIdentifier && a.databaseOid === b.databaseOid;
}
function isSameHistory(a, b) {
  return isSameDatabase(a, b) && a.timeline === b.timeline;
}
var VERSION_NUMBER_MIN = 14e4;
function assertUsable(participant, facts2) {
  const refuse = (problem) => {
    throw new ConfigError(
      "PGXA_PARTICIPANT_NOT_USABLE",
      `participant "${participant}" cannot take part: ${problem}`,
      { participant }
    );
  };
  if (facts2.versionNumber < VERSION_NUMBER_MIN) {
    refuse(`it runs PostgreSQL ${facts2.versionNumber}; expected 14 (140000) or newer`);
  }
  if (facts2.inRecovery) {
    refuse("it is a standby (pg_is_in_recovery() is true); connect to the primary");
  }
  if (facts2.maxPreparedTransactions === 0) {
    refuse(
      "max_prepared_transactions is 0, so PREPARE TRANSACTION is disabled; set it to at least the number of concurrent transactions and restart the server"
    );
  }
}

// src/participant/sqlstate.ts
function sqlstateOf(error) {
  let current2 = error;
  for (let depth = 0; depth < 8 && typeof current2 === "object" && current2 !== null; depth += 1) {
    if (current2 instanceof ConnectionLostError) return void 0;
    const coded = current2;
    if (typeof coded.code === "string" && /^[0-9A-Z]{5}$/.test(coded.code)) {
      if (typeof coded.severity === "string" || !/^E[A-Z]{4}$/.test(coded.code)) return coded.code;
    }
    current2 = coded.cause;
  }
  return void 0;
}
function isConnectionLoss(error) {
  const sqlstate = sqlstateOf(error);
  if (sqlstate === void 0) return !(error instanceof TypeError || error instanceof RangeError);
  return sqlstate.startsWith("08") || sqlstate.startsWith("57P") || sqlstate === "25P03" || sqlstate === "25P04";
}
function isRetryable(error) {
  const sqlstate = sqlstateOf(error);
  if (sqlstate === void 0) return false;
  switch (sqlstate) {
    case "40001":
    // serialization failure
    case "40P01":
    // deadlock
    case "55P03":
    // lock not available: lock_timeout, nowait
    case "53200":
    // out of memory, and: no prepared transaction slot is free
    case "53300":
    // too many connections
    case "57P01":
    // administrator's shutdown
    case "57P02":
    // crash of another backend
    case "57P03":
    // starting up
    case "57P05":
    // idle session timeout
    case "25006":
      return true;
    default:
      return sqlstate.startsWith("08");
  }
}
function meaningOfPrepareFailure(error) {
  if (isConnectionLoss(error)) return { vote: "unknown", retryable: true, hint: void 0 };
  return { vote: "no", retryable: isRetryable(error), hint: prepareHint(sqlstateOf(error)) };
}
function prepareHint(sqlstate) {
  switch (sqlstate) {
    case "0A000":
      return "PREPARE TRANSACTION refuses a transaction that used LISTEN/UNLISTEN/NOTIFY, a temporary object, a WITH HOLD cursor, an exported snapshot, a postgres_fdw table, or a session and a transaction advisory lock on one key: do that work outside of this transaction";
    case "55000":
      return "set max_prepared_transactions above 0 on this server and restart it";
    case "53200":
      return "all prepared transaction slots are taken: raise max_prepared_transactions, or look for transactions in doubt in pg_prepared_xacts";
    case "25006":
      return "the server is a standby or read-only: connect to the primary";
    default:
      return void 0;
  }
}
function meaningOfFinishFailure(error) {
  switch (sqlstateOf(error)) {
    case "42704":
      return "absent";
    case "42501":
      return "denied";
    default:
      return "retry";
  }
}
function connectConfigurationHint(error) {
  switch (sqlstateOf(error)) {
    case "28P01":
      return "check user and password";
    case "28000":
      return "check user name, pg_hba.conf and TLS settings";
    case "3D000":
      return "create the database or correct its name";
    case "42501":
      return "grant CONNECT on the database to this role";
    default:
      return /password must be a string/i.test(error instanceof Error ? error.message : "") ? "the server asks for a password and none is configured" : void 0;
  }
}

// src/participant/finisher.ts
async function finishBranch(connections, request, askXactStatus) {
  const reply = await sendFinish(connections, request);
  if (reply.kind === "absent") return judgeAbsent(request, askXactStatus);
  return reply;
}
async function sendFinish(connections, request) {
  const text2 = finishSql(request);
  if (request.owner !== void 0) return sendAsOwner(connections, request, request.owner);
  try {
    return judgeReply(request, await connections.run({ text: text2 }));
  } catch (thrown) {
    switch (meaningOfFinishFailure(thrown)) {
      case "absent":
        return { kind: "absent" };
      case "denied":
        return sendAsOwner(connections, request, void 0);
      case "retry":
        return { kind: "pending", error: toError(thrown) };
    }
  }
}
async function sendAsOwner(connections, request, knownOwner) {
  try {
    const owner = knownOwner ?? await ownerOf(connections, request.gid);
    if (owner === void 0) return { kind: "absent" };
    const role = `"${owner.replaceAll('"', '""')}"`;
    const [setRole, finish2] = await connections.runAdjacent([
      { text: `set role ${role}` },
      { text: finishSql(request) },
      { text: "reset role" }
    ]);
    if (finish2?.status === "fulfilled") return judgeReply(request, finish2.value);
    if (meaningOfFinishFailure(finish2?.reason) === "absent") return { kind: "absent" };
    const cause = setRole?.status === "rejected" ? setRole.reason : finish2?.reason;
    const hint = `grant ${role} to the role that pgxa connects as (with set option)`;
    const error = sqlstateOf(cause) === "42501" ? new Error(`branch ${request.gid} belongs to role ${role}: ${hint}`, { cause }) : toError(cause);
    return { kind: "pending", error };
  } catch (thrown) {
    return { kind: "pending", error: toError(thrown) };
  }
}
async function ownerOf(connections, gid) {
  const { rows } = await connections.run({
    text: `select owner::text from pg_prepared_xacts
            where gid = $1 and database = current_database()`,
    values: [gid]
  });
  return rows[0]?.owner ?? void 0;
}
function finishSql({ gid, decision }) {
  return `${decision === "commit" ? "commit" : "rollback"} prepared ${quoteGid(gid)}`;
}
function judgeReply({ decision }, reply) {
  const expected = decision === "commit" ? "COMMIT" : "ROLLBACK";
  if (reply.command !== expected) {
    const error = new Error(`the server answered ${expected} PREPARED with ${reply.command}`);
    return { kind: "pending", error };
  }
  if (reply.notices.includes("01000") || reply.notices.includes("57P01")) {
    const error = new Error(`${expected} PREPARED was not confirmed by the synchronous standby`);
    return { kind: "pending", error };
  }
  return { kind: "done" };
}
async function judgeAbsent(request, askXactStatus) {
  const { decision, evidence } = request;
  if (decision === "abort" && request.absentMeansAborted === true) return { kind: "done" };
  if (evidence.xid === void 0) {
    return hazard("the branch is not there, and its transaction id is not known");
  }
  let answer;
  try {
    answer = await askXactStatus(evidence.xid);
  } catch (thrown) {
    return { kind: "pending", error: toError(thrown) };
  }
  const { server, status } = answer;
  if (server === void 0 || !isSameDatabase(server, evidence.server)) {
    const error = new Error("a standby or another server answers in place of the registered one");
    return { kind: "pending", error };
  }
  if (!isSameHistory(server, evidence.server)) {
    return hazard(
      `the branch is not there, and the server went from timeline ${evidence.server.timeline} to ${server.timeline}: a failover may have lost it`
    );
  }
  return judgeStatus(decision, status, evidence.xid);
}
function judgeStatus(decision, status, xid) {
  switch (status) {
    case "committed":
      if (decision === "commit") return { kind: "done" };
      return {
        kind: "heuristic",
        heuristic: "commit",
        evidence: `the decision is abort, and transaction ${xid} of the branch is committed`
      };
    case "aborted":
      if (decision === "abort") return { kind: "done" };
      return {
        kind: "heuristic",
        heuristic: "rollback",
        evidence: `the decision is commit, and transaction ${xid} of the branch is rolled back`
      };
    case "in progress":
      return { kind: "pending", error: new Error("the branch is still in progress") };
    case "no-information":
      return hazard(`the branch is not there, and the server cannot tell the fate of xid ${xid}`);
  }
}
function hazard(evidence) {
  return { kind: "heuristic", heuristic: "hazard", evidence };
}

// src/postgres/sync-unit.ts
import pg4 from "pg";
function unitStep(text2, values) {
  return { query: { text: text2, values }, notices: [] };
}
var SyncUnit = class {
  steps;
  done;
  /** pg wraps the callback of a Submittable when query_timeout is set. */
  callback;
  #receivers;
  #at = 0;
  #settled = false;
  #stopListening;
  /** A value that could not be bound, or a row that a type parser could not read. */
  #clientError;
  constructor(steps, types) {
    this.steps = steps;
    this.#receivers = steps.map((step) => this.#receiverFor(step, types));
    let settle2 = () => void 0;
    this.done = new Promise((resolve, reject) => {
      settle2 = (error) => {
        if (error === null || error === void 0) resolve();
        else reject(error);
      };
    });
    this.callback = settle2;
  }
  /** Settles a unit whose session was cut off: an answer may never come, nor an end. */
  giveUp() {
    this.#stopListening?.();
    this.#settle(new ConnectionLostError("the session was given up"));
  }
  /** The step that the server is working on: notices that come now belong to it. */
  get currentStep() {
    return this.steps[this.#at];
  }
  /** pg keeps its books of named statements by the active query's name and text. */
  get name() {
    return this.currentStep?.query.name;
  }
  get text() {
    return this.currentStep?.query.text;
  }
  submit(connection) {
    const messages = [];
    const collecting = Object.create(connection, {
      stream: { value: { writable: true, write: (bytes) => messages.push(bytes) } }
    });
    const withoutSync = Object.create(collecting, {
      sync: { value: () => void 0 }
    });
    for (const receiver of this.#receivers) {
      const refused = receiver.submit(withoutSync);
      if (refused !== null && refused !== void 0) this.#clientError ??= refused;
      if (this.#clientError !== void 0) break;
    }
    collecting.sync();
    if (connection.stream.writable) connection.stream.write(Buffer.concat(messages));
    return null;
  }
  handleRowDescription(message) {
    this.#receivers[this.#at]?.handleRowDescription(message);
  }
  handleDataRow(message) {
    this.#receivers[this.#at]?.handleDataRow(message);
  }
  handleCommandComplete(message, connection) {
    this.#receivers[this.#at]?.handleCommandComplete(message, connection);
    this.#complete(connection);
  }
  handleEmptyQuery(connection) {
    this.#receivers[this.#at]?.handleEmptyQuery(connection);
    this.#complete(connection);
  }
  handlePortalSuspended() {
  }
  handleCopyInResponse(connection) {
    connection.sendCopyFail("COPY FROM STDIN needs a stream, which was not given");
  }
  handleCopyData() {
  }
  /**
   * An error of the server is an answer only once the server is ready again. PANIC and FATAL look like any
   * error, and what they interrupted (a COMMIT that was being flushed) may stand after all.
   */
  handleError(error, connection) {
    const fromServer = error.severity !== void 0;
    if (!fromServer || connection.stream.destroyed) {
      this.#settle(fromServer ? lostAfter(error) : error);
      return;
    }
    const settle2 = (outcome) => {
      this.#stopListening?.();
      this.#settle(outcome);
    };
    const onReady = () => {
      settle2(error);
    };
    const onEnd = () => {
      settle2(lostAfter(error));
    };
    this.#stopListening = () => {
      connection.removeListener("readyForQuery", onReady);
      connection.removeListener("end", onEnd);
    };
    connection.on("readyForQuery", onReady);
    connection.on("end", onEnd);
  }
  handleReadyForQuery() {
    this.#settle(this.#clientError);
  }
  #complete(connection) {
    this.#receivers[this.#at]?.handleReadyForQuery(connection);
    this.#at += 1;
  }
  #settle(error) {
    if (this.#settled) return;
    this.#settled = true;
    this.callback(error);
  }
  #receiverFor(step, types) {
    const config = {
      ...step.query,
      // A text without values would otherwise go as a simple query, which syncs by itself.
      queryMode: "extended",
      types: step.query.types ?? types
    };
    const receiver = new pg4.Query(
      config
    );
    receiver.callback = (error, result) => {
      if (error === null) step.result = result;
      else this.#clientError ??= error;
    };
    return receiver;
  }
};
function lostAfter(cause) {
  return new ConnectionLostError(`the session ended with an error: ${cause.message}`, { cause });
}

// src/participant/branch-statements.ts
var PROBE_SQL = `select pg_current_xact_id_if_assigned()::text as xid, pg_backend_pid() as pid,
  case when pg_current_xact_id_if_assigned() is not null
       then (select checkpoint_lsn::text from pg_control_checkpoint()) end as checkpoint`;
var LAST_LOOK_SQL = `select set_config('client_min_messages', 'warning', true),
  pg_current_xact_id_if_assigned()::text as xid, pg_backend_pid() as pid`;
var VOTE_LOOK_SQL = LAST_LOOK_SQL.replace("_if_assigned", "");
var UNLOCK_SQL = "select pg_advisory_unlock_all()";
var CONSTRAINTS_SQL = "set constraints all immediate";
var IDLE_GRACE_MS = 1e4;
function prepareSql(gid) {
  return `prepare transaction ${quoteGid(gid)}`;
}
function beginSql({
  isolationLevel,
  readOnly
}) {
  const isolation = isolationLevel === void 0 ? "" : ` isolation level ${isolationLevel}`;
  return `begin${isolation}${readOnly ? " read only" : ""}`;
}
function limitsOf(remaining, lockTimeoutMs, facts2) {
  const remainingMs = Math.max(1, Math.ceil(remaining));
  const wanted = [
    ["lock_timeout", Math.min(remainingMs, lockTimeoutMs), facts2.lockTimeoutMs],
    ["statement_timeout", remainingMs, facts2.statementTimeoutMs],
    ["idle_in_transaction_session_timeout", remainingMs + IDLE_GRACE_MS, facts2.idleTimeoutMs]
  ];
  const tighter = wanted.filter(([, limitMs, ownMs]) => ownMs === 0 || limitMs < ownMs);
  if (tighter.length === 0) return void 0;
  const calls = tighter.map(([name], index) => `set_config('${name}', $${index + 1}, true)`);
  return unitStep(
    `select ${calls.join(", ")}`,
    tighter.map(([, limitMs]) => `${limitMs}ms`)
  );
}
function xidOf(probe2) {
  const row2 = probe2?.result?.rows[0];
  return row2?.xid ?? void 0;
}
var ROW_CHANGES = ["INSERT", "UPDATE", "DELETE", "MERGE", "COPY"];
function changesRows(result) {
  return ROW_CHANGES.includes(result.command) && (result.rowCount ?? 0) > 0;
}

// src/participant/branch-replies.ts
var NOT_PROVEN_DURABLE = ["01000", "57P01"];
var IN_FAILED_TRANSACTION = "25P02";
function voteOf(prepare2, circumstances) {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = prepare2.result?.command;
  if (tag === "PREPARE") {
    if (isProvenDurable(prepare2)) return { kind: "yes", evidence };
    const error2 = new Error("PREPARE was not confirmed by the synchronous standby");
    return { kind: "unknown", error: error2, evidence };
  }
  if (tag !== void 0) {
    return {
      kind: "no",
      error: firstError ?? new Error(`the server answered PREPARE with ${tag}`)
    };
  }
  const error = lost ?? causeOf(circumstances) ?? new Error("no answer to PREPARE");
  const isNo = failure !== void 0 && lost === void 0 && meaningOfPrepareFailure(failure).vote === "no";
  return isNo ? { kind: "no", error } : { kind: "unknown", error, evidence };
}
function onePhaseReplyOf(commit3, circumstances) {
  const { failure, firstError, lost, evidence } = circumstances;
  const tag = commit3.result?.command;
  if (tag === "COMMIT") {
    if (isProvenDurable(commit3)) return { kind: "committed" };
    const error2 = new Error("COMMIT was not confirmed by the synchronous standby");
    return { kind: "unknown", error: error2, evidence };
  }
  if (tag !== void 0) {
    const error2 = firstError ?? new Error(`the server answered COMMIT with ${tag}`);
    return { kind: "rolled-back", error: error2 };
  }
  const error = causeOf(circumstances) ?? new Error("no answer to COMMIT");
  return isConnectionLoss(failure) || lost !== void 0 ? { kind: "unknown", error, evidence } : { kind: "rolled-back", error };
}
function isProvenDurable({ notices }) {
  return !notices.some((code) => NOT_PROVEN_DURABLE.includes(code));
}
function causeOf({ failure, firstError }) {
  return sqlstateOf(failure) === IN_FAILED_TRANSACTION ? firstError ?? failure : failure;
}

// src/participant/postgres-branch.ts
var COMMIT_REPLY_EXTRA_MS = 5e3;
var READER_REPLY_MS = 5e3;
var ROLLBACK_REPLY_MS = 3e3;
var PostgresBranch = class {
  participant;
  ordinal;
  #host;
  #spec;
  #client;
  #facts;
  #unit;
  #opened = false;
  #released = false;
  /** The session holds something that the next user of the connection must not see. */
  #dirty = false;
  #xid;
  #checkpoint;
  /** Statements ran since the server was last asked for the xid. */
  #stale = false;
  /** A statement has surely changed rows: the branch is a writer whatever its xid is. */
  #changedRows = false;
  /** Statements in flight. */
  #busy = 0;
  /** Rolled back: a session that comes now comes too late. */
  #ended = false;
  /** LISTEN and NOTIFY have no xid and must still not be published before the decision. */
  #unlogged = false;
  #firstError;
  /** The session was ended by the server or the network. */
  #sessionEnded = false;
  /** The branch can never commit: its session is lost, or was ended behind our back. */
  #lost;
  constructor(host, spec) {
    this.participant = host.name;
    this.ordinal = spec.branch;
    this.#host = host;
    this.#spec = spec;
  }
  get lost() {
    return this.#lost;
  }
  get mayFailAtCommit() {
    return (this.#spec.isolationLevel ?? this.#facts?.defaultIsolation) === "serializable";
  }
  get sessionEnded() {
    return this.#sessionEnded;
  }
  get connected() {
    return this.#facts !== void 0;
  }
  async execute(query, traits) {
    this.#dirty ||= traits.leavesSessionState;
    this.#unlogged ||= traits.notifies;
    this.#busy += 1;
    try {
      const result = this.#opened ? await this.#statement(query) : await this.#openWith(query, traits.statements === 1);
      this.#note(result);
      return result;
    } catch (thrown) {
      throw this.#fail(toError(thrown));
    } finally {
      this.#busy -= 1;
    }
  }
  async inspect() {
    if (!this.#opened) return { kind: "none" };
    if (this.#lost !== void 0) return { kind: "failed", error: this.#lost };
    const sureWriter = this.#changedRows && this.#firstError === void 0;
    if (!sureWriter && (this.#stale || this.#firstError !== void 0)) {
      const probe2 = unitStep(PROBE_SQL);
      try {
        await this.#run([probe2]);
        await this.#noteProbe(probe2);
      } catch (thrown) {
        return { kind: "failed", error: this.#firstError ?? this.#fail(toError(thrown)) };
      }
    }
    const writes = this.#xid !== void 0 || this.#changedRows || this.#unlogged;
    return { kind: writes ? "writer" : "read-only" };
  }
  async prepare(gid) {
    if (this.#lost !== void 0) {
      this.#release(true);
      return { kind: "no", error: this.#lost };
    }
    const look2 = unitStep(VOTE_LOOK_SQL);
    const prepare2 = unitStep(prepareSql(gid));
    let failure;
    try {
      await this.#run([look2, unitStep(CONSTRAINTS_SQL), prepare2, unitStep(UNLOCK_SQL)]);
    } catch (thrown) {
      failure = toError(thrown);
    }
    this.#xid ??= xidOf(look2);
    const vote = voteOf(prepare2, this.#circumstances(failure));
    this.#release(failure !== void 0 || vote.kind !== "yes");
    return vote;
  }
  outliveDeadline() {
    this.#spec.signal.removeEventListener("abort", this.#onAbort);
  }
  async commitReadOnly() {
    const commit3 = unitStep("commit");
    const cancelTimer = this.#host.runtime.after(READER_REPLY_MS, () => {
      this.#release(true);
    });
    try {
      await this.#run([commit3, unitStep(UNLOCK_SQL)]);
    } catch (thrown) {
      const error = this.#fail(toError(thrown));
      this.#release(true);
      return { kind: "no", error };
    } finally {
      cancelTimer();
    }
    this.#release(false);
    if (commit3.result?.command === "COMMIT") return { kind: "read-only" };
    return {
      kind: "no",
      error: this.#firstError ?? new Error("the server rolled the branch back")
    };
  }
  async commitOnePhase() {
    if (this.#lost === void 0 && this.#xid === void 0) await this.#learnXid();
    if (this.#lost !== void 0) {
      this.#release(true);
      return { kind: "rolled-back", error: this.#lost };
    }
    const commit3 = unitStep("commit");
    this.#spec.signal.removeEventListener("abort", this.#onAbort);
    const replyMs = Math.max(0, this.#spec.remainingMs()) + COMMIT_REPLY_EXTRA_MS;
    const cancelTimer = this.#host.runtime.after(replyMs, () => {
      this.#release(true);
    });
    let failure;
    try {
      const look2 = unitStep(LAST_LOOK_SQL);
      await this.#run([look2, unitStep(CONSTRAINTS_SQL), commit3, unitStep(UNLOCK_SQL)]);
    } catch (thrown) {
      failure = toError(thrown);
    } finally {
      cancelTimer();
    }
    const reply = onePhaseReplyOf(commit3, this.#circumstances(failure));
    this.#release(failure !== void 0 || reply.kind !== "committed");
    return reply;
  }
  async rollback() {
    this.#ended = true;
    if (!this.#opened || this.#released) return;
    if (this.#lost !== void 0 || this.#busy > 0) {
      const backend = this.#client === void 0 ? void 0 : this.#facts?.backend;
      this.#release(true);
      if (backend !== void 0) this.#host.fenceLater(backend);
      return;
    }
    const cancelTimer = this.#host.runtime.after(ROLLBACK_REPLY_MS, () => {
      const backend = this.#facts?.backend;
      this.#release(true);
      if (backend !== void 0) this.#host.fenceLater(backend);
    });
    try {
      await this.#run([unitStep("rollback"), unitStep(UNLOCK_SQL)]);
      this.#release(false);
    } catch {
      this.#release(true);
    } finally {
      cancelTimer();
    }
  }
  /** Only an xid that is known before COMMIT is sent can settle a lost reply to it. */
  async #learnXid() {
    const probe2 = unitStep(PROBE_SQL);
    try {
      await this.#run([probe2]);
      await this.#noteProbe(probe2);
    } catch (thrown) {
      this.#lost ??= this.#fail(toError(thrown));
    }
  }
  /** BEGIN, limits, the first statement and the probe in one round trip, under one Sync. */
  async #openWith(query, together) {
    this.#opened = true;
    const { client, facts: facts2 } = await this.#host.acquire(this.#spec.signal);
    if (this.#ended) {
      client.release();
      throw new Error("the transaction was rolled back while its branch waited for a connection");
    }
    this.#take(client, facts2);
    const begin2 = unitStep(beginSql(this.#spec));
    const limits2 = limitsOf(this.#spec.remainingMs(), this.#host.lockTimeoutMs, facts2);
    const first = { query, notices: [] };
    const probe2 = unitStep(PROBE_SQL);
    const opening = [begin2, ...limits2 === void 0 ? [] : [limits2]];
    try {
      await this.#run(together ? [...opening, first, probe2] : opening);
    } catch (thrown) {
      if (begin2.result === void 0) this.#lost = toError(thrown);
      throw thrown;
    }
    if (!together) return this.#statement(query);
    await this.#noteProbe(probe2);
    if (first.result === void 0) throw new Error("the first statement has no result");
    return first.result;
  }
  async #statement(query) {
    if (this.#lost !== void 0) throw this.#lost;
    this.#stale ||= this.#xid === void 0;
    const client = this.#heldClient();
    const result = await client.query(query);
    if (client.getTransactionStatus?.() === "I") {
      this.#lost = new HeuristicOutcomeError(
        `a statement ended the transaction of the branch on "${this.participant}" behind the coordinator: what it did there may be committed although the transaction is not`,
        {
          kind: "hazard",
          participant: this.participant,
          transactionId: this.#spec.transactionId
        }
      );
      throw this.#lost;
    }
    return result;
  }
  async #run(steps) {
    const client = this.#heldClient();
    const { getTypeParser } = client;
    const types = getTypeParser === void 0 ? void 0 : {
      getTypeParser: (oid, format) => getTypeParser.call(client, oid, format)
    };
    const unit = new SyncUnit(steps, types);
    this.#unit = unit;
    try {
      client.query(unit);
      await unit.done;
    } finally {
      this.#unit = void 0;
    }
  }
  #heldClient() {
    if (this.#lost !== void 0) throw this.#lost;
    if (this.#client === void 0) throw new Error("the branch has no session");
    return this.#client;
  }
  #take(client, facts2) {
    this.#client = client;
    this.#facts = facts2;
    if (client.pipeline === true) {
      client.pipeline = false;
      this.#restorePipeline = true;
    }
    client.on("error", this.#onError);
    client.on("notice", this.#onNotice);
    this.#spec.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (this.#spec.signal.aborted) this.#onAbort();
  }
  #restorePipeline = false;
  #onError = (error) => {
    this.#sessionEnded = true;
    this.#lost ??= toError(error);
  };
  #onNotice = (notice) => {
    this.#unit?.currentStep?.notices.push(notice.code ?? "");
  };
  #onAbort = () => {
    const { backend } = this.#facts ?? {};
    this.#lost ??= toError(this.#spec.signal.reason);
    this.#release(true);
    if (backend !== void 0) this.#host.fenceLater(backend);
  };
  #release(destroy) {
    const client = this.#client;
    if (client === void 0 || this.#released) return;
    this.#released = true;
    this.#client = void 0;
    this.#spec.signal.removeEventListener("abort", this.#onAbort);
    client.removeListener("notice", this.#onNotice);
    const ends = destroy || this.#dirty;
    if (!ends) {
      client.removeListener("error", this.#onError);
      if (this.#restorePipeline) client.pipeline = true;
    }
    client.release(ends);
    if (!destroy) return;
    cutOff(client);
    this.#unit?.giveUp();
  }
  #note(result) {
    const results = Array.isArray(result) ? result : [result];
    this.#changedRows ||= results.some(changesRows);
  }
  async #noteProbe(probe2) {
    const row2 = probe2.result?.rows[0];
    if (this.#xid === void 0 && row2?.xid !== void 0) {
      this.#xid = row2.xid ?? void 0;
      this.#checkpoint = row2.checkpoint ?? void 0;
    }
    this.#stale = false;
    if (row2 !== void 0 && row2.pid !== this.#facts?.backend.pid) {
      this.#facts = await this.#host.factsOf(this.#heldClient());
    }
  }
  #fail(error) {
    this.#firstError ??= error;
    if (isConnectionLoss(error)) {
      this.#lost ??= error;
      this.#sessionEnded ||= sqlstateOf(error) !== void 0 || error instanceof ConnectionLostError;
    }
    return error;
  }
  /** What is known beside the replies when a vote or a commit is judged. */
  #circumstances(failure) {
    return { failure, firstError: this.#firstError, lost: this.#lost, evidence: this.#evidence() };
  }
  #evidence() {
    const facts2 = this.#facts;
    if (facts2 === void 0) throw new Error("a branch without a session has no evidence");
    return {
      participant: this.participant,
      branch: this.ordinal,
      xid: this.#xid,
      checkpoint: this.#checkpoint,
      server: facts2.server,
      backend: facts2.backend
    };
  }
};

// src/participant/postgres-participant.ts
var FINISH_CONNECTIONS = 3;
var COMMAND_TIMEOUT_MS = 1e4;
var TERMINATE_TIMEOUT_MS = 3e3;
var POOL_END_TIMEOUT_MS = 2e3;
var CHECKOUTS_MAX = 20;
var PostgresParticipant = class {
  name;
  lockTimeoutMs;
  runtime;
  capacity;
  #options;
  #connections;
  /** Facts of the sessions in the pool, asked once for each. */
  #facts = /* @__PURE__ */ new WeakMap();
  #registered;
  #registering;
  constructor(options) {
    this.#options = options;
    this.name = options.name;
    this.lockTimeoutMs = options.lockTimeoutMs;
    this.runtime = options.runtime;
    this.capacity = poolMax(options.pool);
    this.#connections = new ConnectionGroup(FINISH_CONNECTIONS, {
      config: { application_name: `pgxa ${options.name}`, ...options.settings },
      connectTimeoutMs: options.connectTimeoutMs,
      commandTimeoutMs: COMMAND_TIMEOUT_MS,
      onConnect: showWarnings
    });
  }
  async verify() {
    return this.#verify(await this.#factsBesidePool());
  }
  branch(spec) {
    return new PostgresBranch(this, spec);
  }
  async finish(request) {
    return finishBranch(this.#connections, request, (xid) => this.#askXactStatus(xid));
  }
  async fence(backend) {
    const isIt = `pid = $1 and (backend_start is null
                  or extract(epoch from backend_start)::text = $2)`;
    const values = [backend.pid, backend.startedAt];
    try {
      await this.#connections.run({
        text: `select pg_terminate_backend(pid, ${TERMINATE_TIMEOUT_MS})
                 from pg_stat_activity where ${isIt}`,
        values
      });
      const { rows } = await this.#connections.run({
        text: `select not pg_is_in_recovery()
                      and (select system_identifier::text from pg_control_system()) = $3 as here,
                      not exists (select from pg_stat_activity where ${isIt}) as gone`,
        values: [...values, this.#registered?.systemIdentifier ?? ""]
      });
      if (rows[0]?.here === false) this.#connections.renew();
      return rows[0]?.here === true && rows[0].gone;
    } catch {
      return false;
    }
  }
  fenceLater(backend) {
    void this.fence(backend);
  }
  async xactStatus({
    xid,
    checkpoint,
    server: original
  }) {
    if (xid === void 0) return "no-information";
    const answer = await this.#askXactStatus(xid);
    const sameHistory = answer.server !== void 0 && isSameHistory(answer.server, original);
    const isOurs = checkpoint !== void 0 && answer.checkpoint === checkpoint;
    if (!sameHistory || !isOurs && answer.status !== "aborted") return "no-information";
    return answer.status;
  }
  async listInDoubt() {
    const { rows } = await this.#connections.run({ text: LIST_SQL });
    const [row2] = rows;
    if (row2 === void 0) throw new Error("unreachable: the query always answers one row");
    const facts2 = factsOfRow(row2);
    if (facts2.inRecovery) {
      this.#connections.renew();
      return { kind: "standby" };
    }
    if (this.#registered === void 0) await this.#verify(facts2);
    if (this.#registered !== void 0 && !isSameDatabase(this.#registered, facts2.server)) {
      this.#connections.renew();
      return { kind: "other-server", server: facts2.server };
    }
    const branches = row2.branches.map(({ gid, xid, age_ms, owner }) => ({
      gid,
      xid,
      ageMs: Number(age_ms),
      owner,
      ownedByOther: owner !== row2.role_name
    }));
    return { kind: "listed", server: facts2.server, branches };
  }
  async acquire(signal) {
    for (let checkout = 1; checkout <= CHECKOUTS_MAX; checkout += 1) {
      const client = await this.#checkOut(signal);
      const status = client.getTransactionStatus?.();
      if (status !== void 0 && status !== null && status !== "I") {
        client.release(true);
        continue;
      }
      try {
        return { client, facts: await this.#factsInTime(client, signal) };
      } catch (error) {
        client.release(true);
        throw error;
      }
    }
    throw new Error(`the pool of "${this.name}" only has clients that are inside a transaction`);
  }
  async factsOf(client) {
    const { rows } = await client.query(SERVER_FACTS_SQL);
    const facts2 = this.#onlyRow(rows);
    await this.#verify(facts2);
    this.#facts.set(client, facts2);
    return facts2;
  }
  /** The deadline counts here too: a new connection may be as silent as any. */
  async #factsInTime(client, signal) {
    const known2 = this.#facts.get(client);
    if (known2 !== void 0) return known2;
    client.on("error", ignoreError);
    const facts2 = await untilAborted(signal, this.factsOf(client));
    client.removeListener("error", ignoreError);
    return facts2;
  }
  async close() {
    await this.#connections.close();
    await this.#options.endPool?.(POOL_END_TIMEOUT_MS);
  }
  async #factsBesidePool() {
    try {
      const { rows } = await this.#connections.run({ text: SERVER_FACTS_SQL });
      return this.#onlyRow(rows);
    } catch (error) {
      const hint = connectConfigurationHint(error);
      if (hint === void 0) throw error;
      throw new ConfigError(
        "PGXA_PARTICIPANT_NOT_USABLE",
        `cannot connect to participant "${this.name}" (SQLSTATE ${sqlstateOf(error) ?? "none"}: ${toError(error).message}): ${hint}`,
        { participant: this.name, cause: error }
      );
    }
  }
  #onlyRow(rows) {
    const [row2] = rows;
    if (row2 === void 0) throw new Error("unreachable: the query always answers one row");
    return factsOfRow(row2);
  }
  async #verify(facts2) {
    assertUsable(this.name, facts2);
    const registered = this.#registered;
    if (registered === void 0) {
      this.#registering ??= this.#register(facts2);
      try {
        return await this.#registering;
      } finally {
        this.#registering = void 0;
      }
    }
    if (!isSameDatabase(registered, facts2.server)) {
      throw new ConfigError(
        "PGXA_PARTICIPANT_IDENTITY",
        `participant "${this.name}" answers from another database than the registered one: expected ${describeServer(registered)}, got ${describeServer(facts2.server)}`,
        { participant: this.name }
      );
    }
    return facts2.server;
  }
  async #register(facts2) {
    await this.#options.register(facts2);
    this.#registered = facts2.server;
    return facts2.server;
  }
  #isRegistered(server) {
    if (server === void 0) return false;
    return this.#registered === void 0 || isSameDatabase(this.#registered, server);
  }
  async #checkOut(signal) {
    signal.throwIfAborted();
    const checkout = this.#options.pool.connect();
    try {
      return await untilAborted(signal, checkout);
    } catch (error) {
      if (signal.aborted)
        checkout.then(
          (client) => {
            client.release();
          },
          () => void 0
        );
      throw error;
    }
  }
  /** A commit that is visible may still be unknown to a synchronous standby; what follows it is not. */
  async #proveDurable() {
    const { notices } = await this.#connections.run({
      text: `select pg_logical_emit_message(true, 'pgxa', 'barrier')`
    });
    if (notices.includes("01000")) {
      throw new Error("the synchronous standby has not confirmed the commit");
    }
  }
  /** Identity and status in one statement: two could reach two servers, with a failover in between. */
  async #askXactStatus(xid) {
    try {
      const { rows } = await this.#connections.run({
        text: XACT_STATUS_SQL,
        values: [xid]
      });
      const facts2 = this.#onlyRow(rows);
      const server = facts2.inRecovery ? void 0 : facts2.server;
      if (!this.#isRegistered(server)) this.#connections.renew();
      const status = (server === void 0 ? void 0 : rows[0]?.status) ?? "no-information";
      if (status === "committed") await this.#proveDurable();
      return { server, status, checkpoint: rows[0]?.checkpoint };
    } catch (error) {
      if (sqlstateOf(error) !== "22023") throw error;
      const facts2 = await this.#factsBesidePool();
      const server = facts2.inRecovery ? void 0 : facts2.server;
      return { server, status: "no-information", checkpoint: void 0 };
    }
  }
};
var XACT_STATUS_SQL = `
  select facts.*, pg_xact_status($1::xid8) as status,
         (select checkpoint_lsn::text from pg_control_checkpoint()) as checkpoint
    from (${SERVER_FACTS_SQL}) facts`;
async function showWarnings(run2) {
  await run2({
    text: `select set_config('client_min_messages', 'warning', false)
            where current_setting('client_min_messages') not in ('warning', 'notice', 'log')
              and current_setting('client_min_messages') !~ '^debug'`
  });
}
function ignoreError() {
}
function describeServer(server) {
  return `system ${server.systemIdentifier} database oid ${server.databaseOid}`;
}
var LIST_SQL = `
  with facts as (${SERVER_FACTS_SQL}),
       next as (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid),
       branch as (
         select p.gid, p.prepared, p.owner::text as owner,
                (next.xid >> 32 << 32 | p.transaction::text::bigint) as near, next.xid as next_xid
           from pg_prepared_xacts p, next
          where p.database = current_database())
  select facts.*, current_user::text as role_name,
         coalesce((select jsonb_agg(jsonb_build_object(
                            'gid', gid,
                            'xid', (near + case when near - next_xid > 2147483648 then -4294967296
                                                when next_xid - near > 2147483648 then 4294967296
                                                else 0 end)::text,
                            'age_ms', round(extract(epoch from clock_timestamp() - prepared)
                                            * 1000)::text,
                            'owner', owner) order by prepared)
                     from branch), '[]') as branches
    from facts`;

// src/open-participants.ts
async function openParticipants(config, log, runtime, publish2) {
  const servers = /* @__PURE__ */ new Map();
  const participants = /* @__PURE__ */ new Map();
  for (const [name, options] of Object.entries(config.participants)) {
    const register = async (facts2) => {
      assertDistinct(servers, name, facts2);
      servers.set(name, facts2);
      const before = await log.registerParticipant(name, facts2.server, facts2.databaseName);
      if (before !== void 0)
        publish2("participant:server-changed", { participant: name, before });
    };
    participants.set(name, makeParticipant(name, options, config, runtime, register));
  }
  const refused = await verifyAll(participants, publish2);
  const [first] = refused;
  if (first === void 0) return participants;
  await Promise.allSettled([...participants.values()].map((one) => one.close()));
  if (refused.length === 1) throw first;
  throw new ConfigError(first.code, refused.map(({ message }) => message).join("; "), {
    cause: new AggregateError(refused)
  });
}
async function verifyAll(participants, publish2) {
  const refused = await Promise.all(
    [...participants.values()].map(async (participant) => {
      try {
        await participant.verify();
        return [];
      } catch (thrown) {
        if (thrown instanceof ConfigError) return [thrown];
        const error = toError(thrown);
        publish2("participant:unavailable", { participant: participant.name, error });
        return [];
      }
    })
  );
  return refused.flat();
}
function makeParticipant(name, options, config, runtime, register) {
  const { pool, max, lockTimeoutMs, ...given } = options;
  const settings = placeOf(name, options, given);
  if (pool !== void 0) hearErrors(pool);
  const ownPool = pool === void 0 ? createPool({
    application_name: `pgxa ${config.coordinator}`,
    connectionTimeoutMillis: config.connectTimeoutMs,
    keepAlive: true,
    ...settings,
    ...max === void 0 ? {} : { max }
  }) : void 0;
  return new PostgresParticipant({
    name,
    pool: pool ?? ownPool?.pool,
    endPool: ownPool === void 0 ? void 0 : (timeoutMs) => ownPool.end(timeoutMs),
    settings,
    connectTimeoutMs: config.connectTimeoutMs,
    lockTimeoutMs,
    runtime,
    register
  });
}
function placeOf(name, options, given) {
  const isGiven = Object.values(given).some((value) => value !== void 0);
  const settings = isGiven || options.pool === void 0 ? given : settingsOfPool(options.pool);
  if (settings !== void 0) return settings;
  throw new ConfigError(
    "PGXA_CONFIG_INVALID",
    `configuration: participants.${name}: the pool does not tell where its database is (it is not a node-postgres Pool): give connectionString beside it`,
    { participant: name }
  );
}
function assertDistinct(servers, name, facts2) {
  for (const [other, known2] of servers) {
    const same = isSameDatabase(known2.server, facts2.server) && known2.runningSince === facts2.runningSince;
    if (other === name || !same) continue;
    throw new ConfigError(
      "PGXA_PARTICIPANTS_NOT_DISTINCT",
      `participants "${other}" and "${name}" are the same database ("${facts2.databaseName}" on system ${facts2.server.systemIdentifier}): configure it once`,
      { participant: name }
    );
  }
}

// src/recovery/decision-table.ts
function row(letter, server, gid, decision, coordinator, action, why) {
  return { row: letter, when: { server, gid, decision, coordinator }, action, why };
}
var DECISION_TABLE = [
  row("A", "standby", "any", "any", "any", "leave", "a standby gives no information"),
  row("B", "other", "any", "any", "any", "report", "another server than the registered one answers"),
  row("C", "registered", "foreign", "any", "any", "leave", "the branch is not of this installation"),
  row("D", "registered", "ours", "commit", "any", "commit", "the decision is commit"),
  row("E", "registered", "ours", "abort", "any", "roll-back", "the decision is abort"),
  row("F", "registered", "ours", "none", "live", "leave", "its coordinator is alive and has not decided"),
  row("G", "registered", "ours", "none", "silent", "retire", "its coordinator is silent and has not decided"),
  row("H", "registered", "ours", "none", "retired", "win-abort", "its coordinator can decide no more"),
  row("I", "registered", "ours", "none", "unregistered", "report", "the log does not know its epoch: was the log restored?")
];
function decide(observation) {
  const met = DECISION_TABLE.filter(({ when }) => matches(when, observation));
  const [only] = met;
  if (met.length !== 1 || only === void 0) {
    throw new Error(`${met.length} rows for ${JSON.stringify(observation)}: expected exactly one`);
  }
  return only;
}
function matches(when, observation) {
  return Object.keys(when).every(
    (key) => when[key] === "any" || when[key] === observation[key]
  );
}

// src/recovery/report.ts
function summarize(participants) {
  const all = Object.values(participants);
  const sum = (count2) => all.reduce((total, report) => total + count2(report), 0);
  const left = sum((report) => report.left.length);
  return {
    committed: sum((report) => report.committed),
    rolledBack: sum((report) => report.rolledBack),
    left,
    heuristics: sum((report) => report.heuristics.length),
    complete: left === 0 && all.every((report) => report.status === "listed" && !report.error),
    participants
  };
}
function mergeReports(earlier, later) {
  return {
    ...later,
    committed: earlier.committed + later.committed,
    rolledBack: earlier.rolledBack + later.rolledBack,
    heuristics: [...earlier.heuristics, ...later.heuristics]
  };
}

// src/recovery/recoverer.ts
var FINISHES_IN_FLIGHT = 64;
var LIFE_SIGN_POLL_MS = 100;
var Recoverer = class {
  #options;
  constructor(options) {
    this.#options = options;
  }
  /**
   * One pass over all participants. With `wait`, undecided branches whose coordinator cannot be told
   * from a dead one are looked at until it has shown a sign of life or its time has run out, at most
   * a little over `heartbeatLimitMs`: then no branch of a dead coordinator is left.
   */
  async recover(options) {
    const names = [...this.#options.participants.keys()];
    let reports = await this.#passOver(names, {});
    if (!options.wait) return summarize(reports);
    reports = await this.#untilCertain(reports);
    if (summarize(reports).committed + summarize(reports).rolledBack > 0) {
      reports = await this.#untilCertain(await this.#passOver(names, reports));
    }
    return summarize(reports);
  }
  /** One pass over one participant. Never rejects: what went wrong is in the report. */
  async recoverParticipant(name) {
    const participant = this.#options.participants.get(name);
    if (participant === void 0) throw new Error(`no participant "${name}"`);
    const report = await this.#observeAndAct(participant);
    this.#options.publish("recovery:pass", {
      participant: name,
      committed: report.committed,
      rolledBack: report.rolledBack,
      left: report.left.length,
      failed: report.left.filter(({ error }) => error !== void 0).length,
      error: report.error
    });
    return report;
  }
  async #passOver(names, earlier) {
    const entries = await Promise.all(
      names.map(async (name) => {
        const report = await this.recoverParticipant(name);
        const before = earlier[name];
        return [name, before === void 0 ? report : mergeReports(before, report)];
      })
    );
    return { ...earlier, ...Object.fromEntries(entries) };
  }
  /** Repeats the pass where a branch waits for a coordinator that has not shown a sign of life. */
  async #untilCertain(first) {
    const { runtime, heartbeatLimitMs } = this.#options;
    const untilMs = runtime.now() + heartbeatLimitMs + SESSION_GONE_AFTER_MS;
    const firstHeartbeats = /* @__PURE__ */ new Map();
    const proven = new Set(
      epochsInDoubt(first).filter((epoch) => this.#options.local.isOwnEpoch(epoch))
    );
    let reports = first;
    while (runtime.now() < untilMs) {
      const waiting = namesWaiting(reports, proven);
      if (waiting.length === 0) break;
      await runtime.sleep(LIFE_SIGN_POLL_MS);
      try {
        await this.#lookForLife(reports, firstHeartbeats, proven);
      } catch {
        break;
      }
      reports = await this.#passOver(namesWaiting(reports, proven), reports);
    }
    return reports;
  }
  async #lookForLife(reports, firstHeartbeats, proven) {
    const unproven = epochsInDoubt(reports).filter((epoch) => !proven.has(epoch));
    for (const [epoch, status] of await this.#options.log.epochsOf(unproven)) {
      const before = firstHeartbeats.get(epoch) ?? status.heartbeat;
      firstHeartbeats.set(epoch, before);
      if (before !== status.heartbeat) proven.add(epoch);
    }
  }
  async #observeAndAct(participant) {
    let listing2;
    try {
      listing2 = await participant.listInDoubt();
    } catch (thrown) {
      return emptyReport("unreachable", toError(thrown));
    }
    if (listing2.kind !== "listed") {
      const { why } = decide({
        server: listing2.kind === "standby" ? "standby" : "other",
        gid: "foreign",
        decision: "none",
        coordinator: "unregistered"
      });
      return emptyReport(listing2.kind, new Error(why));
    }
    const ours = listing2.branches.flatMap((prepared) => this.#ours(prepared));
    const foreign = listing2.branches.length - ours.length;
    const pass = new Pass(this.#options, participant, listing2.server);
    try {
      await pass.run(ours);
    } catch (thrown) {
      return { ...pass.report(), foreign, error: toError(thrown) };
    }
    return { ...pass.report(), foreign };
  }
  #ours(prepared) {
    const gid = parseGid(prepared.gid);
    return gid?.installation === this.#options.log.installation ? [{ prepared, gid }] : [];
  }
};
var Pass = class {
  #options;
  #participant;
  #server;
  #committed = 0;
  #rolledBack = 0;
  #left = [];
  #heuristics = [];
  constructor(options, participant, server) {
    this.#options = options;
    this.#participant = participant;
    this.#server = server;
  }
  report() {
    return {
      status: "listed",
      committed: this.#committed,
      rolledBack: this.#rolledBack,
      left: this.#left,
      heuristics: this.#heuristics,
      foreign: 0,
      error: void 0
    };
  }
  async run(branches) {
    if (branches.length === 0) return;
    const standing = await this.#standingOf(branches);
    const undecided = branches.filter(({ gid }) => !standing.has(gid.transactionId));
    const [, decidedNow] = await Promise.all([
      this.#finishAll(branches, standing),
      this.#decideOpen(undecided)
    ]);
    await this.#finishAll(undecided, decidedNow);
  }
  #standingOf(branches) {
    const ids = [...new Set(branches.map(({ gid }) => gid.transactionId))];
    return this.#options.log.decisionsOf(ids);
  }
  /** Rows F to I: those without a decision. Returns what stands for those that got one. */
  async #decideOpen(undecided) {
    const { log } = this.#options;
    const epochs2 = [...new Set(undecided.map(({ gid }) => gid.epoch))];
    const statuses = await log.epochsOf(epochs2);
    const toWin = [];
    const retired = /* @__PURE__ */ new Map();
    await Promise.all(
      undecided.map(async (branch) => {
        const row2 = decide({
          server: "registered",
          gid: "ours",
          decision: "none",
          coordinator: this.#coordinatorOf(branch.gid, statuses.get(branch.gid.epoch))
        });
        if (row2.action === "win-abort") toWin.push(branch);
        else if (row2.action !== "retire") this.#leave(branch, row2);
        else if (await this.#retire(branch.gid.epoch, retired)) toWin.push(branch);
        else this.#leave(branch, row2);
      })
    );
    const requests = new Map(
      toWin.map(({ gid: { transactionId, epoch } }) => [transactionId, { transactionId, epoch }])
    );
    if (requests.size === 0) return /* @__PURE__ */ new Map();
    return log.settle([...requests.values()], "recovery");
  }
  #coordinatorOf(gid, status) {
    const { local, heartbeatLimitMs } = this.#options;
    if (local.isOwnEpoch(gid.epoch))
      return local.isAtWorkOn(gid.transactionId) ? "live" : "retired";
    if (status === void 0) return "unregistered";
    if (status.retired) return "retired";
    const goneAfterMs = Math.min(SESSION_GONE_AFTER_MS, heartbeatLimitMs);
    const gone2 = status.sessionGone && status.heartbeatAgeMs > goneAfterMs;
    return gone2 || status.heartbeatAgeMs > heartbeatLimitMs ? "silent" : "live";
  }
  /** Once per epoch and pass. An epoch that cannot be retired now is left to the next pass. */
  #retire(epoch, retired) {
    const { log, heartbeatLimitMs } = this.#options;
    const known2 = retired.get(epoch) ?? log.retire(epoch, heartbeatLimitMs).catch(() => false);
    retired.set(epoch, known2);
    return known2;
  }
  async #finishAll(branches, standing) {
    const queue = branches.flatMap((branch) => {
      const stands = standing.get(branch.gid.transactionId);
      return stands === void 0 ? [] : [{ branch, stands }];
    });
    const takers = Array.from({ length: Math.min(FINISHES_IN_FLIGHT, queue.length) }, async () => {
      for (let next = queue.shift(); next !== void 0; next = queue.shift()) {
        await this.#finish(next.branch, next.stands);
      }
    });
    await Promise.all(takers);
  }
  async #finish(branch, stands) {
    const { prepared, gid } = branch;
    const { decision } = stands;
    const result = await this.#participant.finish({
      gid: prepared.gid,
      decision,
      evidence: { xid: recordedXid(stands, gid, this.#server), server: this.#server },
      // An abort records no xid. Gone is what it wants, and all finishers obey the register.
      absentMeansAborted: decision === "abort",
      owner: prepared.ownedByOther ? prepared.owner ?? void 0 : void 0
    });
    const { transactionId } = gid;
    const participant = this.#participant.name;
    switch (result.kind) {
      case "done":
        if (decision === "commit") this.#committed += 1;
        else this.#rolledBack += 1;
        this.#options.publish("branch:finished", { transactionId, participant, decision });
        return;
      case "pending": {
        const row2 = decide({
          server: "registered",
          gid: "ours",
          decision,
          coordinator: "live"
        });
        this.#leave(branch, row2, result.error);
        return;
      }
      case "heuristic":
        await this.#record(branch, decision, result.heuristic, result.evidence);
    }
  }
  async #record({ prepared, gid: { transactionId } }, decision, kind, evidence) {
    const { log, publish: publish2, name } = this.#options;
    const participant = this.#participant.name;
    const found = { gid: prepared.gid, transactionId, decision, kind, evidence };
    this.#heuristics.push(found);
    publish2("heuristic:found", { ...found, participant });
    await log.recordHeuristic({ ...found, participant, foundBy: name });
  }
  #leave({ prepared, gid }, row2, error) {
    this.#left.push({
      gid: prepared.gid,
      transactionId: gid.transactionId,
      row: row2.row,
      reason: row2.why,
      error
    });
  }
};
function recordedXid({ branches }, { branch }, { systemIdentifier }) {
  return branches.find(
    (recorded) => recorded.branch === branch && recorded.systemIdentifier === systemIdentifier
  )?.xid;
}
function emptyReport(status, error) {
  return { status, committed: 0, rolledBack: 0, left: [], heuristics: [], foreign: 0, error };
}
function epochInDoubt({ row: row2, gid }) {
  const epoch = parseGid(gid)?.epoch;
  return (row2 === "F" || row2 === "G") && epoch !== void 0 ? [epoch] : [];
}
function epochsInDoubt(reports) {
  const epochs2 = Object.values(reports).flatMap(({ left }) => left.flatMap(epochInDoubt));
  return [...new Set(epochs2)];
}
function namesWaiting(reports, proven) {
  return Object.entries(reports).flatMap(
    ([name, { left }]) => left.flatMap(epochInDoubt).some((epoch) => !proven.has(epoch)) ? [name] : []
  );
}

// src/runtime.ts
var systemRuntime = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (ms, signal) => new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  }),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(ms, 2147483647));
    return () => {
      clearTimeout(timer);
    };
  }
};

// src/transaction-manager.ts
import { setMaxListeners } from "node:events";
import { v7 as uuidv7, validate as isUuid } from "uuid";

// src/coordinator/admission.ts
var Admission = class {
  #limit;
  #running = 0;
  #waiting = [];
  constructor(limit) {
    this.#limit = limit;
  }
  /** Resolves when there is room, first come first served; rejects with the signal's reason. */
  async enter(signal) {
    signal.throwIfAborted();
    if (this.#running < this.#limit) {
      this.#running += 1;
      return;
    }
    await new Promise((resolve, reject) => {
      const admit = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(admit);
    });
  }
  /** Hands the place on to the next in line. Call once for each time that `enter` resolved. */
  leave() {
    const next = this.#waiting.shift();
    if (next === void 0) this.#running -= 1;
    else next();
  }
};

// src/coordinator/epoch.ts
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
var BEATS_PER_LIMIT = 10;
var Epoch = class {
  #options;
  #current = "";
  /** Monotonic time at which the last acknowledged heartbeat was sent. */
  #beatenAtMs = 0;
  #cancelTimer;
  #beating;
  #stopped = false;
  constructor(options) {
    this.#options = options;
  }
  /** 16 hexadecimal digits: the epoch that new transactions belong to. */
  get current() {
    return this.#current;
  }
  /** Registers the first epoch and starts the heartbeat. */
  async start() {
    await this.#register();
    this.#schedule();
  }
  /**
   * True if recovery may have retired this epoch by now. By this process's monotonic clock and from
   * the moment a heartbeat was sent, hence never later than the log's clock says.
   */
  mayBeRetired(epoch) {
    const { heartbeatLimitMs, runtime } = this.#options;
    const soonestMs = Math.min(heartbeatLimitMs, SESSION_GONE_AFTER_MS);
    if (this.#stopped) return true;
    return epoch !== this.#current || runtime.now() - this.#beatenAtMs >= soonestMs;
  }
  /** Ends the heartbeat, and the epoch too if nothing is left to decide in it. */
  async stop(options) {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#beating;
    if (!options.endEpoch) return;
    try {
      await this.#options.log.endEpoch(this.#current);
    } catch {
    }
  }
  async #register() {
    const { log, coordinator, version, runtime, publish: publish2 } = this.#options;
    const epoch = randomBytes(8).toString("hex");
    const sentAtMs = runtime.now();
    await log.registerCoordinator({
      epoch,
      name: coordinator,
      host: hostname(),
      pid: process.pid,
      version
    });
    this.#current = epoch;
    this.#beatenAtMs = sentAtMs;
    publish2("coordinator:registered", { coordinator, epoch });
  }
  #schedule() {
    if (this.#stopped) return;
    const { heartbeatLimitMs, runtime } = this.#options;
    this.#cancelTimer = runtime.after(heartbeatLimitMs / BEATS_PER_LIMIT, () => {
      this.#beating = this.#beat().finally(() => {
        this.#schedule();
      });
    });
  }
  async #beat() {
    const { log, coordinator, runtime, publish: publish2 } = this.#options;
    const epoch = this.#current;
    const sentAtMs = runtime.now();
    try {
      if (await log.heartbeat(epoch)) {
        this.#beatenAtMs = sentAtMs;
        return;
      }
      publish2("coordinator:retired", { coordinator, epoch });
      await this.#register();
    } catch (error) {
      publish2("coordinator:heartbeat-failed", { coordinator, error: toError(error) });
    }
  }
};

// src/backoff.ts
function backoffDelayMs(attempt, limits2, random) {
  const ceiling = Math.min(limits2.maxMs, limits2.firstMs * 2 ** Math.min(attempt - 1, 30));
  return ceiling / 2 + random() * ceiling / 2;
}
async function retryUntil(runtime, limits2, untilMs, attempt, signal) {
  for (let repetition = 1; ; repetition += 1) {
    const result = await attempt(signal);
    if (result !== void 0) return result;
    const delay = backoffDelayMs(repetition, limits2, runtime.random);
    if (runtime.now() + delay > untilMs || signal?.aborted === true) return void 0;
    try {
      await runtime.sleep(delay, signal);
    } catch {
      return void 0;
    }
  }
}

// src/coordinator/one-phase.ts
var BACKOFF = { firstMs: 20, maxMs: 500 };
async function settleOnePhase(transactionId, context, evidence, patienceMs) {
  const untilMs = context.runtime.now() + patienceMs;
  const outcome = await within(
    context.runtime,
    patienceMs,
    () => retryUntil(context.runtime, BACKOFF, untilMs, () => askOnePhase(context, evidence))
  );
  if (outcome === void 0) context.noteUnsettled(transactionId, evidence);
  return outcome ?? "unknown";
}
async function askOnePhase(context, evidence) {
  const participant = context.participants.get(evidence.participant);
  if (participant === void 0 || !await participant.fence(evidence.backend)) return void 0;
  try {
    switch (await participant.xactStatus(evidence)) {
      case "committed":
        return "committed";
      case "aborted":
        return "rolled-back";
      case "in progress":
      case "no-information":
        return void 0;
    }
  } catch {
    return void 0;
  }
}

// src/coordinator/rolled-back.ts
function rolledBackBy(code, transactionId, participant, cause) {
  if (cause instanceof PgxaError) return cause;
  const where = participant === void 0 ? "" : ` by participant "${participant}"`;
  const hint = code === "PGXA_VOTE_NO" ? meaningOfPrepareFailure(cause).hint : void 0;
  const why = cause === void 0 ? "" : `: ${cause.message}`;
  return new RolledBackError(
    code,
    `the transaction is rolled back${where}${why}${hint === void 0 ? "" : ` (${hint})`}`,
    { transactionId, participant, cause, retryable: canHelpToRetry(code, cause) }
  );
}
function canHelpToRetry(code, cause) {
  switch (code) {
    case "PGXA_CONNECTION_LOST":
    case "PGXA_VOTE_UNKNOWN":
      return true;
    case "PGXA_PARTICIPANT_UNAVAILABLE":
      return isConnectionLoss(cause) || isRetryable(cause);
    default:
      return isRetryable(cause);
  }
}
function codeOfBranchFailure(branch) {
  if (!branch.connected) return "PGXA_PARTICIPANT_UNAVAILABLE";
  return branch.sessionEnded ? "PGXA_CONNECTION_LOST" : "PGXA_BRANCH_FAILED";
}
function decidedAbort(transaction, by, duplicateOf, cause) {
  if (duplicateOf !== void 0) return alreadyDone(transaction, duplicateOf);
  const why = by === "coordinator" ? "its commit decision did not reach the log" : `${by} decided abort`;
  return new RolledBackError("PGXA_DECIDED_ABORT", `the transaction is rolled back: ${why}`, {
    transactionId: transaction.id,
    cause,
    retryable: by !== "operator"
  });
}
function alreadyDone({ id, idempotencyKey }, existingTransactionId) {
  return new RolledBackError(
    "PGXA_ALREADY_DONE",
    `idempotency key "${idempotencyKey ?? ""}" was used by transaction ${existingTransactionId}, which is committed; this run is rolled back`,
    { transactionId: id, retryable: false, existingTransactionId }
  );
}
function votedNo(transaction, branch, error) {
  const code = branch?.lost === void 0 ? "PGXA_VOTE_NO" : codeOfBranchFailure(branch);
  return rolledBackBy(code, transaction.id, branch?.participant, error);
}
function outcomeUnknown(transaction, cause) {
  return new OutcomeUnknownError(
    "the decision log cannot tell whether the transaction is committed; ask outcomeOf() later, do not run it again",
    { transactionId: transaction.id, cause }
  );
}

// src/coordinator/run.ts
var BACKOFF2 = { firstMs: 10, maxMs: 1e3 };
async function run(request) {
  const { runtime, attempts } = request;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runOnce(request);
    } catch (error) {
      const again = error instanceof RolledBackError && error.retryable && attempt < attempts;
      if (!again) throw error;
      await runtime.sleep(backoffDelayMs(attempt, BACKOFF2, runtime.random));
    }
  }
}
async function runOnce({ begin: begin2, fn }) {
  const transaction = await begin2();
  let value;
  try {
    value = await untilAborted(transaction.signal, (async () => fn(transaction))());
  } catch (thrown) {
    const error = toError(thrown);
    await (transaction.ending ? transaction.whenEnded() : transaction.rollback());
    throw reasonOf(transaction, error);
  }
  await transaction.commit();
  return value;
}
function reasonOf(transaction, error) {
  if (transaction.signal.aborted) return toError(transaction.signal.reason);
  if (error instanceof MisuseError) return error;
  if (error instanceof PgxaError && error.transactionId === transaction.id) return error;
  return thrownByFunction(transaction, error);
}
function thrownByFunction(transaction, error) {
  if (error instanceof PgxaError) {
    return new RolledBackError(
      "PGXA_ROLLED_BACK",
      `the transaction is rolled back: its function threw ${error.message}`,
      { transactionId: transaction.id, cause: error, retryable: false }
    );
  }
  const failed = transaction.branches.find(
    ({ lost }) => lost !== void 0 && isCause(lost, error)
  );
  return failed === void 0 ? rolledBackBy("PGXA_ROLLED_BACK", transaction.id, void 0, error) : rolledBackBy(codeOfBranchFailure(failed), transaction.id, failed.participant, error);
}
function isCause(cause, error) {
  let current2 = error;
  for (let depth = 0; depth < 8 && current2 instanceof Error; depth += 1) {
    if (current2 === cause) return true;
    current2 = current2.cause;
  }
  return false;
}

// src/states.ts
var TRANSACTION_EDGES = {
  active: ["voting", "rolling-back"],
  voting: ["deciding", "committing-one-phase", "rolling-back", "committed"],
  "committing-one-phase": ["committed", "rolled-back", "unknown"],
  deciding: ["committing", "rolling-back", "unknown"],
  committing: ["committed"],
  "rolling-back": ["rolled-back"],
  unknown: ["committing", "rolling-back", "committed", "rolled-back"],
  committed: [],
  "rolled-back": []
};
function isLegalEdge(from2, to) {
  return TRANSACTION_EDGES[from2].includes(to);
}

// src/coordinator/statement-scan.ts
var SCANS_MAX = 2e3;
var scans = /* @__PURE__ */ new Map();
function scanStatement(text2) {
  const known2 = scans.get(text2);
  if (known2 !== void 0) return known2;
  const scan = scanAfresh(text2);
  if (text2.length <= 4096) {
    if (scans.size >= SCANS_MAX) scans.clear();
    scans.set(text2, scan);
  }
  return scan;
}
var SESSION_STATE = /\bset_config\b|\btemp(orary)?\b|\bpg_temp(_\d+)?\b|\bupdate\s+(pg_catalog\.)?pg_settings\b/i;
var NOTIFICATION = /\b(notify|pg_notify|listen|unlisten)\b/i;
function scanAfresh(text2) {
  const statements = splitStatements(text2);
  const controls = statements.map(controlOf);
  const only = statements.length === 1 ? controls[0] : void 0;
  const offender = controls.find((control) => control.kind !== "none");
  return {
    control: only ?? refusedAmong(offender, statements.length),
    statements: statements.length,
    leavesSessionState: SESSION_STATE.test(text2) || statements.some(leavesSessionState),
    notifies: NOTIFICATION.test(text2) || statements.some(([first = ""]) => mayHideChanges(first, text2))
  };
}
function refusedAmong(offender, count2) {
  if (offender === void 0 || offender.kind === "none") return { kind: "none" };
  const command = offender.kind === "refused" ? offender.command : offender.kind.toUpperCase();
  return { kind: "refused", command: `${command} in a text of ${count2} statements` };
}
function controlOf(words) {
  const [first, second] = words;
  switch (first) {
    case "BEGIN":
      return beginOf(words);
    case "START":
      return second === "TRANSACTION" ? beginOf(words) : { kind: "none" };
    case "COMMIT":
    case "END":
    case "ROLLBACK":
    case "ABORT":
      return endOf(first, words);
    case "PREPARE":
      return second === "TRANSACTION" ? { kind: "refused", command: "PREPARE TRANSACTION" } : { kind: "none" };
    default:
      return { kind: "none" };
  }
}
function beginOf(words) {
  const rest = words.join(" ");
  const isolation = /ISOLATION LEVEL (SERIALIZABLE|REPEATABLE READ|READ (?:UN)?COMMITTED)/.exec(
    rest
  );
  const access = /\bREAD (ONLY|WRITE)\b/.exec(rest);
  return { kind: "begin", isolation: isolation?.[1], access: access?.[0] };
}
function endOf(first, words) {
  if (words[1] === "PREPARED") return { kind: "refused", command: `${first} PREPARED` };
  if (first === "ROLLBACK" && words.includes("TO")) return { kind: "none" };
  if (words.includes("CHAIN") && !words.includes("NO")) {
    return { kind: "refused", command: `${first} AND CHAIN` };
  }
  return { kind: first === "COMMIT" || first === "END" ? "commit" : "rollback" };
}
function leavesSessionState(words) {
  const [first = "", second = ""] = words;
  if (first === "SET") return !["LOCAL", "TRANSACTION", "CONSTRAINTS"].includes(second);
  if (first === "DECLARE") return words.includes("HOLD");
  return ["RESET", "LISTEN", "UNLISTEN", "LOAD", "PREPARE", "DISCARD"].includes(first);
}
function mayHideChanges(first, text2) {
  if (first === "WITH" || first === "EXPLAIN")
    return /\b(insert|update|delete|merge)\b/i.test(text2);
  return first === "DO" || first === "CALL" || first === "EXECUTE";
}
var WORDS_MAX = 16;
function splitStatements(text2) {
  const statements = [];
  let words = [];
  let empty = true;
  let atomicDepth = 0;
  let previousWord = "";
  const end = () => {
    if (!empty) statements.push(words);
    words = [];
    empty = true;
    atomicDepth = 0;
    previousWord = "";
  };
  for (const token of tokens(text2)) {
    if (token === ";") {
      if (atomicDepth === 0) end();
      continue;
    }
    empty = false;
    if (token === "") continue;
    if (words.length < WORDS_MAX) words.push(token);
    if (words[0] === "CREATE") {
      if (token === "ATOMIC" && previousWord === "BEGIN") atomicDepth += 1;
      else if (atomicDepth > 0 && token === "CASE") atomicDepth += 1;
      else if (atomicDepth > 0 && token === "END") atomicDepth -= 1;
    }
    previousWord = token;
  }
  end();
  return statements;
}
function* tokens(text2) {
  let at = 0;
  while (at < text2.length) {
    const skipped = skipBlank(text2, at);
    if (skipped > at) {
      at = skipped;
      continue;
    }
    const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
    word.lastIndex = at;
    const match = word.exec(text2);
    if (match !== null) {
      const escapes = /^e$/i.test(match[0]) && text2[word.lastIndex] === "'";
      at = escapes ? endOfString(text2, word.lastIndex, true) : word.lastIndex;
      yield escapes ? "" : match[0].toUpperCase();
      continue;
    }
    const character = text2.charAt(at);
    at = endOfToken(text2, at, character);
    yield character === ";" ? ";" : "";
  }
}
function skipBlank(text2, at) {
  if (/[ \t\n\r\f\v]/.test(text2.charAt(at))) return at + 1;
  if (text2.startsWith("--", at)) {
    const newline = text2.slice(at).search(/[\r\n]/);
    return newline === -1 ? text2.length : at + newline + 1;
  }
  if (!text2.startsWith("/*", at)) return at;
  let depth = 0;
  for (let cursor = at; cursor < text2.length; ) {
    if (text2.startsWith("/*", cursor)) {
      depth += 1;
      cursor += 2;
    } else if (text2.startsWith("*/", cursor)) {
      depth -= 1;
      cursor += 2;
      if (depth === 0) return cursor;
    } else {
      cursor += 1;
    }
  }
  return text2.length;
}
function endOfToken(text2, at, character) {
  if (character === "'") return endOfString(text2, at, false);
  if (character === '"') {
    const closing = text2.indexOf('"', at + 1);
    return closing === -1 ? text2.length : closing + 1;
  }
  if (character === "$") {
    const tag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
    tag.lastIndex = at;
    const opening = tag.exec(text2);
    if (opening !== null) {
      const closing = text2.indexOf(opening[0], tag.lastIndex);
      return closing === -1 ? text2.length : closing + opening[0].length;
    }
  }
  return at + 1;
}
function endOfString(text2, at, escapes) {
  for (let cursor = at + 1; cursor < text2.length; cursor += 1) {
    if (escapes && text2[cursor] === "\\") cursor += 1;
    else if (text2[cursor] === "'") {
      if (escapes && text2[cursor + 1] === "'") cursor += 1;
      else if (!escapes) return cursor + 1;
      else {
        CONTINUATION.lastIndex = cursor + 1;
        if (!CONTINUATION.test(text2)) return cursor + 1;
        cursor = CONTINUATION.lastIndex - 1;
      }
    }
  }
  return text2.length;
}
var CONTINUATION = /(?:[ \t\f\v]|--[^\r\n]*(?=[\r\n]))*[\r\n](?:[ \t\f\v\r\n]|--[^\r\n]*[\r\n])*'/y;

// src/coordinator/branch-client.ts
var QueueingBranchClient = class {
  #options;
  /** Savepoints that stand for the nested BEGINs of an ORM. */
  #savepoints = [];
  #savepointCount = 0;
  #tail = Promise.resolve();
  #draining = false;
  constructor(options) {
    this.#options = options;
  }
  query(...args) {
    const [query, second, third] = args;
    const callback = [second, third].find((arg) => typeof arg === "function");
    const values = Array.isArray(second) ? second : void 0;
    const misplaced = second !== void 0 && second !== null && values === void 0;
    const result = this.#enqueue(() => {
      if (misplaced && typeof second !== "function") {
        throw this.#misuse("PGXA_UNSUPPORTED_QUERY", "the values of a query must be an array");
      }
      return this.#run(this.#configOf(query, values));
    });
    if (callback === void 0) return result;
    const call = (error, value) => {
      process.nextTick(() => {
        callback(error, value);
      });
    };
    result.then(
      (value) => {
        call(null, value);
      },
      (error) => {
        call(toError(error));
      }
    );
    return void 0;
  }
  release() {
  }
  connect() {
    return Promise.resolve(this);
  }
  /** A nested BEGIN was not ended. */
  get hasOpenSavepoint() {
    return this.#savepoints.length > 0;
  }
  /**
   * For COMMIT: resolves when no query is waiting or running. What was asked before still runs, although
   * the transaction is being ended by now: nobody may have awaited it, and it belongs to it all the same.
   */
  async idle() {
    this.#draining = true;
    await this.#tail;
  }
  #enqueue(work) {
    const refused = this.#options.refusalOfNew();
    if (refused !== void 0) return Promise.reject(refused);
    const result = this.#tail.then(() => {
      const refusal = this.#options.refusal();
      if (refusal !== void 0 && !(this.#draining && isEnded(refusal))) throw refusal;
      return work();
    });
    this.#tail = result.then(
      () => void 0,
      () => void 0
    );
    return result;
  }
  #configOf(query, values) {
    if (typeof query === "string")
      return values === void 0 ? { text: query } : { text: query, values };
    const config = query;
    if (typeof config?.submit === "function") {
      throw this.#misuse(
        "PGXA_UNSUPPORTED_QUERY",
        "cursors and streams (pg-cursor, pg-query-stream, pg-copy-streams) cannot be used in a branch"
      );
    }
    if (typeof config?.text !== "string") {
      throw this.#misuse("PGXA_UNSUPPORTED_QUERY", "a query is a text or an object with a text");
    }
    return values === void 0 ? config : { ...config, values };
  }
  async #run(config) {
    const scan = scanStatement(config.text);
    const { control } = scan;
    switch (control.kind) {
      case "none":
        return this.#execute(config, scan);
      case "begin":
        this.#assertSameIsolation(control.isolation);
        return this.#beginNested();
      case "commit":
        return this.#endNested("COMMIT");
      case "rollback":
        return this.#endNested("ROLLBACK");
      case "refused":
        throw this.#misuse(
          "PGXA_TRANSACTION_CONTROL",
          `${control.command} is refused in a branch: the transaction manager ends the transaction`
        );
    }
  }
  #execute(config, traits) {
    return this.#options.branch.execute(config, traits);
  }
  async #beginNested() {
    this.#savepointCount += 1;
    const name = `pgxa_savepoint_${this.#savepointCount}`;
    const result = await this.#execute({ text: `savepoint ${name}` }, SAVEPOINT);
    this.#savepoints.push(name);
    return withCommand(result, "BEGIN");
  }
  async #endNested(command) {
    const name = this.#savepoints.pop();
    if (name === void 0) {
      throw this.#misuse(
        "PGXA_TRANSACTION_CONTROL",
        `${command} without a BEGIN in this branch: the transaction manager ends the transaction (return from the function to commit, throw to roll back)`
      );
    }
    if (command === "COMMIT") {
      try {
        const result2 = await this.#execute({ text: `release savepoint ${name}` }, SAVEPOINT);
        return withCommand(result2, "COMMIT");
      } catch (error) {
        if (sqlstateOf(error) !== IN_FAILED_TRANSACTION2) throw error;
      }
    }
    await this.#execute({ text: `rollback to savepoint ${name}` }, SAVEPOINT);
    const result = await this.#execute({ text: `release savepoint ${name}` }, SAVEPOINT);
    return withCommand(result, "ROLLBACK");
  }
  #assertSameIsolation(asked) {
    const own = this.#options.isolationLevel ?? "read committed";
    if (asked === void 0 || asked.toLowerCase() === own) return;
    throw this.#misuse(
      "PGXA_TRANSACTION_CONTROL",
      `a nested BEGIN asks for isolation level ${asked}, and the transaction has ${own}: give isolationLevel to run() or begin()`
    );
  }
  #misuse(code, message) {
    const { branch, transactionId } = this.#options;
    return new MisuseError(code, message, { transactionId, participant: branch.participant });
  }
};
function isEnded(refusal) {
  return refusal instanceof MisuseError && refusal.code === "PGXA_TRANSACTION_ENDED";
}
var IN_FAILED_TRANSACTION2 = "25P02";
var SAVEPOINT = { statements: 1, leavesSessionState: false, notifies: false };
function withCommand(result, command) {
  if (!Array.isArray(result)) result.command = command;
  return result;
}

// src/coordinator/finish.ts
var PATIENCE_MS = 2e3;
var RETRY_MS = 6e4;
var BACKOFF3 = { firstMs: 20, maxMs: 2e3 };
async function finishAll(transaction, context, decision, branches) {
  const results = await Promise.all(
    branches.map((branch) => finishPatiently(transaction, context, decision, branch))
  );
  const contrary = results.find((result) => isContrary(decision, result));
  if (contrary?.kind === "heuristic")
    throw heuristicError(transaction, decision, contrary, results);
  return branches.flatMap(
    ({ participant }, index) => results[index] === void 0 ? [participant] : []
  );
}
async function finishPatiently(transaction, context, decision, branch) {
  const closing = new AbortController();
  const loop = finishUntilSettled(transaction, context, decision, branch, closing.signal);
  const settled = await within(context.runtime, PATIENCE_MS, () => loop);
  if (settled !== void 0) return settled;
  context.background(async (signal) => {
    const onAbort = () => {
      closing.abort(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const standing = decision === "abort" ? await writeAbort(transaction, context, signal) : decision;
      if (standing === "commit" && decision === "abort") {
        closing.abort(new Error("the register says commit"));
        await loop;
        await finishUntilSettled(transaction, context, "commit", branch, signal);
      }
      await loop;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  });
  return void 0;
}
async function finishUntilSettled(transaction, context, decision, branch, signal) {
  const untilMs = context.runtime.now() + RETRY_MS;
  let fenced = false;
  const { participant } = branch;
  const transactionId = transaction.id;
  const attempt = async () => {
    await context.faultHook?.("before-finish-branch", transactionId);
    fenced ||= branch.fenceFirst && await fence(context, branch);
    const result = branch.fenceFirst && !fenced ? pending("the backend that ran the branch could not be ended yet") : await finishOnce(context, decision, branch, fenced);
    if (result.kind === "pending") {
      const { error } = result;
      context.publish("branch:pending", { transactionId, participant, decision, error });
      return void 0;
    }
    if (result.kind === "heuristic") await record(transaction, context, decision, branch, result);
    else context.publish("branch:finished", { transactionId, participant, decision });
    await context.faultHook?.("after-finish-branch", transactionId);
    return result;
  };
  return retryUntil(context.runtime, BACKOFF3, untilMs, attempt, signal);
}
function finishOnce(context, decision, { participant, gid, evidence }, fenced) {
  const server = context.participants.get(participant);
  if (server === void 0) throw new Error(`no participant "${participant}"`);
  return server.finish({ gid, decision, evidence, absentMeansAborted: fenced });
}
async function fence(context, branch) {
  const server = context.participants.get(branch.participant);
  return await server?.fence(branch.evidence.backend) ?? false;
}
function pending(message) {
  return { kind: "pending", error: new Error(message) };
}
function isContrary(decision, result) {
  if (result?.kind !== "heuristic") return false;
  return decision === "commit" || result.heuristic === "commit";
}
function heuristicError(transaction, decision, contrary, results) {
  const asDecided = results.some((result) => result?.kind === "done");
  const kind = contrary.heuristic === "hazard" ? "hazard" : asDecided ? "mixed" : contrary.heuristic;
  return new HeuristicOutcomeError(
    `the decision is ${decision}, but a branch ended otherwise: ${contrary.evidence}`,
    { transactionId: transaction.id, kind }
  );
}
async function record(transaction, context, decision, { participant, gid }, { heuristic: kind, evidence }) {
  const transactionId = transaction.id;
  context.publish("heuristic:found", { transactionId, participant, gid, kind, evidence });
  const entry = { transactionId, gid, participant, decision, kind, evidence };
  try {
    await context.log.recordHeuristic({ ...entry, foundBy: "coordinator" });
  } catch (error) {
    context.publish("branch:pending", {
      transactionId,
      participant,
      decision,
      error: toError(error)
    });
  }
}
async function writeAbort(transaction, context, signal) {
  const { id: transactionId, epoch } = transaction;
  const write = async () => {
    try {
      const standing = await context.log.settle([{ transactionId, epoch }], "coordinator");
      return standing.get(transactionId)?.decision;
    } catch {
      return void 0;
    }
  };
  return retryUntil(context.runtime, BACKOFF3, Number.POSITIVE_INFINITY, write, signal);
}

// src/coordinator/rollback.ts
async function rollback(transaction) {
  transaction.setState("rolling-back");
  await Promise.all(transaction.branches.map((branch) => branch.rollback()));
  transaction.releaseAdmission();
  transaction.setState("rolled-back");
}

// src/coordinator/readers.ts
async function commitReaders(transaction, readers) {
  await askReaders(transaction, readers);
  if (transaction.signal.aborted) {
    await rollback(transaction);
    throw transaction.signal.reason;
  }
  transaction.releaseAdmission();
  transaction.setState("committed");
  return { mode: readers.length === 0 ? "none" : "read-only", pending: [] };
}
async function askReaders(transaction, readers) {
  const votes = await Promise.all(readers.map((branch) => branch.commitReadOnly()));
  for (const [index, vote] of votes.entries()) {
    if (vote.kind === "read-only") continue;
    await rollback(transaction);
    if (transaction.signal.aborted) throw transaction.signal.reason;
    const error = vote.kind === "yes" ? void 0 : vote.error;
    throw votedNo(transaction, readers[index], error);
  }
}
function splitReaders(readers) {
  return {
    voting: readers.filter(({ mayFailAtCommit }) => mayFailAtCommit),
    following: readers.filter(({ mayFailAtCommit }) => !mayFailAtCommit)
  };
}
async function endFollowing(transaction, following, outcome) {
  await Promise.all(
    following.map(async (branch) => {
      if (outcome === "committed") await branch.commitReadOnly();
      else await branch.rollback();
    })
  );
  transaction.releaseAdmission();
}

// src/coordinator/settle.ts
var SETTLE_PATIENCE_MS = 5e3;
var FOREGROUND = { firstMs: 20, maxMs: 500 };
var BACKGROUND = { firstMs: 250, maxMs: 5e3 };
function settleByRegister(transaction, context) {
  const untilMs = context.runtime.now() + SETTLE_PATIENCE_MS;
  return settleUntil(transaction, context, untilMs, FOREGROUND);
}
function settleInBackground(transaction, context, toFinish) {
  context.background(async (signal) => {
    const forEver = Number.POSITIVE_INFINITY;
    const settled = await settleUntil(transaction, context, forEver, BACKGROUND, signal);
    if (settled.kind === "unknown") return;
    const { decision, decidedBy: decidedBy2 } = settled;
    context.publish("transaction:decided", { transactionId: transaction.id, decision, decidedBy: decidedBy2 });
    transaction.setState(decision === "commit" ? "committing" : "rolling-back");
    try {
      await finishAll(transaction, context, decision, toFinish);
    } finally {
      transaction.setState(decision === "commit" ? "committed" : "rolled-back");
    }
  });
}
async function settleUntil(transaction, context, untilMs, backoff, signal) {
  const { id: transactionId, epoch } = transaction;
  let lastError = new Error("the decision log did not answer");
  const ask = async () => {
    try {
      const found = await context.log.settle([{ transactionId, epoch }], "coordinator");
      const standing = found.get(transactionId);
      return standing === void 0 ? void 0 : { kind: "settled", ...standing };
    } catch (error) {
      lastError = toError(error);
      return void 0;
    }
  };
  const patience = untilMs - context.runtime.now();
  const settled = await within(
    context.runtime,
    patience,
    () => retryUntil(context.runtime, backoff, untilMs, ask, signal)
  );
  return settled ?? { kind: "unknown", error: lastError };
}

// src/coordinator/protocol.ts
async function commit(transaction, context) {
  transaction.setState("voting");
  const { writers, readers } = await inspectAll(transaction);
  const needsDecision = transaction.idempotencyKey !== void 0 && writers.length > 0;
  const [onlyWriter] = writers;
  if (writers.length === 0) return commitReaders(transaction, readers);
  if (writers.length === 1 && onlyWriter !== void 0 && !needsDecision) {
    return commitOnePhase(transaction, context, onlyWriter, readers);
  }
  return commitTwoPhase(transaction, context, writers, readers);
}
async function inspectAll(transaction) {
  const works = await Promise.all(
    transaction.branches.map(async (branch) => ({ branch, work: await branch.inspect() }))
  );
  for (const { branch, work } of works) {
    if (work.kind !== "failed") continue;
    await rollback(transaction);
    const code = codeOfBranchFailure(branch);
    throw rolledBackBy(code, transaction.id, branch.participant, work.error);
  }
  const of = (kind) => works.filter(({ work }) => work.kind === kind).map(({ branch }) => branch);
  return { writers: of("writer"), readers: of("read-only") };
}
async function commitOnePhase(transaction, context, writer, readers) {
  const { voting, following } = splitReaders(readers);
  await askReaders(transaction, voting);
  if (transaction.signal.aborted) {
    await rollback(transaction);
    throw transaction.signal.reason;
  }
  transaction.setState("committing-one-phase");
  await context.faultHook?.("before-one-phase-commit", transaction.id);
  for (const reader of following) reader.outliveDeadline();
  const reply = await writer.commitOnePhase();
  await context.faultHook?.("after-one-phase-commit", transaction.id);
  const outcome = reply.kind === "unknown" ? await settleOnePhase(transaction.id, context, reply.evidence, SETTLE_PATIENCE_MS) : reply.kind;
  await endFollowing(
    transaction,
    following,
    outcome === "committed" ? "committed" : "not-committed"
  );
  switch (outcome) {
    case "committed":
      transaction.setState("committed");
      return { mode: "one-phase", pending: [] };
    case "rolled-back":
      transaction.setState("rolled-back");
      throw rolledBackBy(
        reply.kind === "unknown" ? "PGXA_CONNECTION_LOST" : "PGXA_VOTE_NO",
        transaction.id,
        writer.participant,
        reply.kind === "committed" ? void 0 : reply.error
      );
    case "unknown":
      transaction.setState("unknown");
      throw new OutcomeUnknownError(
        `the reply to COMMIT on "${writer.participant}" is lost, and its fate cannot be asked yet`,
        {
          transactionId: transaction.id,
          participant: writer.participant,
          cause: reply.kind === "committed" ? void 0 : reply.error
        }
      );
  }
}
async function commitTwoPhase(transaction, context, writers, readers) {
  await context.faultHook?.("before-vote", transaction.id);
  const { voting, following } = splitReaders(readers);
  const voted = await collectVotes(transaction, context, writers, voting);
  for (const { participant } of following) {
    context.publish("branch:voted", {
      transactionId: transaction.id,
      participant,
      vote: "read-only"
    });
  }
  if (following.length === 0) transaction.releaseAdmission();
  await context.faultHook?.("after-votes", transaction.id);
  const dissent = voted.find(({ vote }) => vote.kind === "no" || vote.kind === "unknown");
  if (dissent !== void 0 || transaction.signal.aborted) {
    await endFollowing(transaction, following, "not-committed");
    await abandon(transaction, context, voted);
    throw reasonOf2(transaction, dissent);
  }
  transaction.setState("deciding");
  for (const reader of following) reader.outliveDeadline();
  await context.faultHook?.("before-decide", transaction.id);
  const prepared = voted.filter(isPrepared);
  const decided = await decide2(transaction, context, prepared);
  const commits = decided.kind === "decided" && decided.decision === "commit";
  const followed = endFollowing(transaction, following, commits ? "committed" : "not-committed");
  if (decided.kind === "unknown") throw outcomeUnknown(transaction, decided.error);
  await context.faultHook?.("after-decide", transaction.id);
  if (decided.decision === "abort") {
    await finishDecided(transaction, context, "abort", prepared);
    throw decided.error;
  }
  const pending2 = await finishDecided(transaction, context, "commit", prepared);
  await followed;
  await context.faultHook?.("after-finish", transaction.id);
  return { mode: "two-phase", pending: pending2 };
}
async function collectVotes(transaction, context, writers, readers) {
  const ask = async (branch, vote) => {
    const answer = await vote;
    context.publish("branch:voted", {
      transactionId: transaction.id,
      participant: branch.participant,
      vote: answer.kind
    });
    await context.faultHook?.("after-branch-vote", transaction.id);
    return { branch, vote: answer };
  };
  return Promise.all([
    ...writers.map(
      (branch) => ask(branch, branch.prepare(context.gidOf(transaction.epoch, transaction.id, branch.ordinal)))
    ),
    ...readers.map((branch) => ask(branch, branch.commitReadOnly()))
  ]);
}
function isPrepared(voted) {
  return voted.vote.kind === "yes";
}
async function decide2(transaction, context, prepared) {
  const reply = await context.log.decide({
    transactionId: transaction.id,
    epoch: transaction.epoch,
    label: transaction.label,
    idempotencyKey: transaction.idempotencyKey,
    branches: prepared.map(({ vote }) => vote.evidence)
  });
  switch (reply.kind) {
    case "commit":
      return decidedBy(transaction, context, "commit", "coordinator");
    case "abort":
      return decidedBy(transaction, context, "abort", reply.decidedBy);
    case "fenced":
    case "already-done":
    case "unknown":
      return settle(transaction, context, prepared, reply);
  }
}
async function settle(transaction, context, prepared, reply) {
  const settled = await settleByRegister(transaction, context);
  const cause = reply.kind === "unknown" ? reply.error : void 0;
  if (settled.kind === "unknown") {
    transaction.setState("unknown");
    settleInBackground(
      transaction,
      context,
      prepared.map((voted) => toFinishOf(transaction, context, voted))
    );
    return { kind: "unknown", error: cause ?? settled.error };
  }
  const duplicateOf = reply.kind === "already-done" ? reply.transactionId : void 0;
  return decidedBy(transaction, context, settled.decision, settled.decidedBy, duplicateOf, cause);
}
function decidedBy(transaction, context, decision, by, duplicateOf, cause) {
  context.publish("transaction:decided", {
    transactionId: transaction.id,
    decision,
    decidedBy: by
  });
  if (decision === "commit") return { kind: "decided", decision };
  return { kind: "decided", decision, error: decidedAbort(transaction, by, duplicateOf, cause) };
}
async function abandon(transaction, context, voted) {
  const toFinish = voted.filter(({ vote }) => vote.kind === "yes" || vote.kind === "unknown");
  if (toFinish.length > 0 && context.mayBeRetired(transaction.epoch)) {
    transaction.setState("deciding");
    const settled = await settleByRegister(transaction, context);
    if (settled.kind === "unknown") {
      transaction.setState("unknown");
      const inDoubt = toFinish.map((one) => toFinishOf(transaction, context, one));
      settleInBackground(transaction, context, inDoubt);
      throw outcomeUnknown(transaction, settled.error);
    }
    if (settled.decision === "commit") {
      await finishDecided(transaction, context, "commit", toFinish);
      throw new HeuristicOutcomeError(
        "an operator decided commit while this coordinator was away, and not all branches had voted",
        { transactionId: transaction.id, kind: "mixed" }
      );
    }
  }
  await context.faultHook?.("before-rollback-prepared", transaction.id);
  await finishDecided(transaction, context, "abort", toFinish);
}
async function finishDecided(transaction, context, decision, branches) {
  transaction.setState(decision === "commit" ? "committing" : "rolling-back");
  const toFinish = branches.map((voted) => toFinishOf(transaction, context, voted));
  const ended = decision === "commit" ? "committed" : "rolled-back";
  try {
    const pending2 = await finishAll(transaction, context, decision, toFinish);
    transaction.setState(ended);
    return pending2;
  } catch (error) {
    if (error instanceof HeuristicOutcomeError) transaction.setState(ended);
    throw error;
  }
}
function toFinishOf(transaction, context, { branch, vote }) {
  if (!("evidence" in vote)) throw new Error("only a branch that may be prepared is finished");
  return {
    participant: branch.participant,
    gid: context.gidOf(transaction.epoch, transaction.id, branch.ordinal),
    evidence: vote.evidence,
    // Invariant 7: its PREPARE may still be on its way.
    fenceFirst: vote.kind === "unknown"
  };
}
function reasonOf2(transaction, dissent) {
  if (transaction.signal.aborted) return transaction.signal.reason;
  const vote = dissent?.vote;
  const error = vote?.kind === "no" || vote?.kind === "unknown" ? vote.error : void 0;
  if (vote?.kind !== "unknown") return votedNo(transaction, dissent?.branch, error);
  return rolledBackBy("PGXA_VOTE_UNKNOWN", transaction.id, dissent?.branch.participant, error);
}

// src/coordinator/transaction.ts
var GlobalTransaction = class {
  id;
  epoch;
  label;
  idempotencyKey;
  #options;
  #clients = /* @__PURE__ */ new Map();
  #abort = new AbortController();
  #beganAtMs;
  #cancelDeadline;
  #onCommitted = [];
  #onRolledBack = [];
  #admitted = false;
  #ending;
  #state = "active";
  /** Ended by cancel(), not by its program. */
  #cancelled = false;
  #endedAs;
  constructor(options) {
    this.#options = options;
    this.id = options.id;
    this.epoch = options.epoch;
    this.label = options.label;
    this.idempotencyKey = options.idempotencyKey;
    const { runtime } = options.context;
    this.#beganAtMs = runtime.now();
    this.#cancelDeadline = runtime.after(options.timeoutMs, () => {
      this.cancel("PGXA_TIMEOUT", `its deadline of ${options.timeoutMs} ms has passed`);
    });
    const { signal } = options;
    signal?.addEventListener("abort", this.#onCallerAbort, { once: true });
    if (signal?.aborted === true) this.#onCallerAbort();
  }
  get branches() {
    return [...this.#clients.values()].map(({ branch }) => branch);
  }
  /** Aborted at the deadline, by the caller's signal, or by close(); not heard after the decision. */
  get signal() {
    return this.#abort.signal;
  }
  get state() {
    return this.#state;
  }
  /** Undefined until the caller has its answer. */
  get endedAs() {
    return this.#endedAs;
  }
  get durationMs() {
    return this.#options.context.runtime.now() - this.#beganAtMs;
  }
  /** Waits for a place among the running transactions. */
  async admit() {
    await this.#options.admission.enter(this.signal);
    this.#admitted = true;
    if (this.#endedAs === void 0) return;
    this.releaseAdmission();
    throw this.signal.reason;
  }
  on(name) {
    const known2 = this.#clients.get(name);
    if (known2 !== void 0) return known2.client;
    const { context, isolationLevel, readOnly } = this.#options;
    const participant = context.participants.get(name);
    if (participant === void 0) {
      const names = [...context.participants.keys()].map((one) => `"${one}"`).join(", ");
      throw new MisuseError(
        "PGXA_UNKNOWN_PARTICIPANT",
        `no participant is called "${name}"; configured are ${names}`,
        { transactionId: this.id }
      );
    }
    const refusal = this.#refuseLate() ?? this.#refusal();
    if (refusal !== void 0) throw refusal;
    const ordinal = this.#clients.size + 1;
    if (ordinal > BRANCHES_MAX) throw new RangeError(`more than ${BRANCHES_MAX} branches`);
    const branch = participant.branch({
      transactionId: this.id,
      branch: ordinal,
      isolationLevel,
      readOnly,
      remainingMs: () => this.#options.timeoutMs - this.durationMs,
      signal: this.signal
    });
    const client = new QueueingBranchClient({
      branch,
      transactionId: this.id,
      isolationLevel,
      refusal: () => this.#refusal(),
      refusalOfNew: () => this.#refuseLate() ?? this.#refusal()
    });
    this.#clients.set(name, { branch, client });
    return client;
  }
  onCommitted(hook) {
    this.#onCommitted.push(hook);
  }
  onRolledBack(hook) {
    this.#onRolledBack.push(hook);
  }
  async commit() {
    if (this.#cancelled) throw this.signal.reason;
    this.#assertNotEnding();
    this.#ending = this.#commit();
    return this.#ending;
  }
  /** Rolls back; resolves when all sessions are released. */
  async rollback() {
    if (this.#cancelled) return this.whenEnded();
    this.#assertNotEnding();
    const done = this.#rollBackActive();
    this.#ending = done.then(() => ({ transactionId: this.id, pending: [] }));
    await done;
  }
  /** True once commit() or rollback() was called. */
  get ending() {
    return this.#ending !== void 0;
  }
  /** Resolves when the transaction, which is being ended, has ended. Never rejects. */
  async whenEnded() {
    await this.#ending?.catch(() => void 0);
  }
  /**
   * Ends an undecided transaction from outside: deadline, caller's signal, close(). One that its program
   * never ends would keep its sessions, and its place among the running ones.
   */
  cancel(code, why, cause) {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(
      new RolledBackError(code, `the transaction is rolled back: ${why}`, {
        transactionId: this.id,
        retryable: false,
        cause
      })
    );
    if (this.ending) return;
    this.#cancelled = true;
    const done = this.#rollBackActive();
    this.#ending = done.then(() => ({ transactionId: this.id, pending: [] }));
  }
  setState(state) {
    if (state === this.#state) return;
    if (!isLegalEdge(this.#state, state)) {
      throw new Error(`transaction ${this.id}: no edge from ${this.#state} to ${state}`);
    }
    this.#state = state;
  }
  releaseAdmission() {
    if (!this.#admitted) return;
    this.#admitted = false;
    this.#options.admission.leave();
  }
  async #commit() {
    let committed;
    try {
      const clients = [...this.#clients.values()];
      await untilAborted(this.signal, Promise.all(clients.map(({ client }) => client.idle())));
      this.#assertNoneNested();
      committed = await commit(this, this.#options.context);
    } catch (thrown) {
      throw await this.#failCommit(toError(thrown));
    }
    this.#end("committed", committed.mode);
    await this.#callHooks(this.#onCommitted);
    return { transactionId: this.id, pending: committed.pending };
  }
  /** Ends the transaction after a failed commit, and says what the caller now knows. */
  async #failCommit(cause) {
    if (this.#state === "active" || this.#state === "voting") await rollback(this);
    const error = this.#knowledgeAfter(cause);
    const known2 = !(error instanceof OutcomeUnknownError || error instanceof HeuristicOutcomeError);
    this.#end(known2 ? "rolled-back" : "unknown", "two-phase");
    if (known2) await this.#callHooks(this.#onRolledBack);
    return error;
  }
  /** "Rolled back" is said only in the states in which it is so, whatever went wrong. */
  #knowledgeAfter(error) {
    if (error instanceof OutcomeUnknownError || error instanceof HeuristicOutcomeError)
      return error;
    if (this.#state === "rolled-back" || this.#state === "rolling-back") {
      return error instanceof PgxaError ? error : rolledBackBy("PGXA_ROLLED_BACK", this.id, void 0, error);
    }
    return new OutcomeUnknownError(
      `an unexpected error broke off the commit; ask outcomeOf() later: ${error.message}`,
      { transactionId: this.id, cause: error }
    );
  }
  /** The inner transaction of an ORM that is still open would be committed by half. */
  #assertNoneNested() {
    for (const [participant, { client }] of this.#clients) {
      if (!client.hasOpenSavepoint) continue;
      throw new MisuseError(
        "PGXA_TRANSACTION_CONTROL",
        `a BEGIN in the branch on "${participant}" has no COMMIT or ROLLBACK (is an await missing before an inner transaction?): rolled back`,
        { transactionId: this.id, participant }
      );
    }
  }
  async #rollBackActive() {
    await rollback(this);
    this.#end("rolled-back", "none");
    await this.#callHooks(this.#onRolledBack);
  }
  #end(endedAs, mode) {
    this.#cancelDeadline();
    this.#options.signal?.removeEventListener("abort", this.#onCallerAbort);
    this.releaseAdmission();
    this.#endedAs = endedAs;
    this.#options.context.publish("transaction:ended", {
      transactionId: this.id,
      outcome: endedAs,
      mode,
      durationMs: this.durationMs
    });
    this.#options.onEnded(this);
  }
  async #callHooks(hooks) {
    for (const hook of hooks) {
      try {
        await hook();
      } catch (thrown) {
        this.#options.context.publish("hook:failed", {
          transactionId: this.id,
          error: toError(thrown)
        });
      }
    }
  }
  /**
   * A query that comes while the transaction is being committed, before its decision, was meant to be part
   * of it: nothing is committed without it.
   */
  #refuseLate() {
    const committing = this.ending && !this.signal.aborted;
    if (!committing || this.#state !== "active" && this.#state !== "voting") return void 0;
    const error = new MisuseError(
      "PGXA_TRANSACTION_ENDED",
      "a query was asked while the transaction was being committed, which is rolled back therefore (is an await missing before a query?)",
      { transactionId: this.id }
    );
    this.#abort.abort(error);
    return error;
  }
  #refusal() {
    if (this.signal.aborted) return this.signal.reason;
    if (this.#state === "active" && this.#endedAs === void 0 && !this.ending) return void 0;
    return new MisuseError(
      "PGXA_TRANSACTION_ENDED",
      "the transaction has ended, or is being ended: nothing can run in it any more (is an await missing before a query?)",
      { transactionId: this.id }
    );
  }
  #assertNotEnding() {
    if (this.#ending === void 0) return;
    throw new MisuseError("PGXA_TRANSACTION_ENDED", "the transaction was ended before", {
      transactionId: this.id
    });
  }
  #onCallerAbort = () => {
    const cause = this.#options.signal?.reason;
    this.cancel("PGXA_CANCELLED", "its caller aborted it", cause);
  };
};

// src/version.ts
var VERSION = "0.1.0";

// src/transaction-manager.ts
var CLOSE_TIMEOUT_MS = 3e4;
var BACKGROUND_GRACE_MS = 2e3;
var CANCEL_TIMEOUT_MS = 5e3;
var REMEMBERED_MAX = 1e4;
async function createTransactionManager(config, internals = {}) {
  const parsed = parseConfig(config);
  const runtime = internals.runtime ?? systemRuntime;
  const log = await openDecisionLog({
    settings: parsed.decisionLog,
    coordinator: parsed.coordinator,
    connectTimeoutMs: parsed.connectTimeoutMs
  });
  let participants = /* @__PURE__ */ new Map();
  try {
    participants = await openParticipants(parsed, log, runtime, publish);
    const epoch = new Epoch({
      log,
      coordinator: parsed.coordinator,
      version: VERSION,
      heartbeatLimitMs: parsed.heartbeatLimitMs,
      runtime,
      publish
    });
    await epoch.start();
    return new PostgresTransactionManager(parsed, log, participants, epoch, runtime, internals);
  } catch (error) {
    await Promise.allSettled([...participants.values()].map((one) => one.close()));
    await log.close();
    if (error instanceof ConfigError) throw error;
    throw new ConfigError("PGXA_LOG_UNREACHABLE", `cannot start: ${toError(error).message}`, {
      cause: error
    });
  }
}
var PostgresTransactionManager = class {
  #config;
  #log;
  #participants;
  #epoch;
  #runtime;
  #admission;
  #context;
  #recoverer;
  #active = /* @__PURE__ */ new Map();
  #background = /* @__PURE__ */ new Set();
  #closing = new AbortController();
  /** What the log may not know: one-phase commits, and rollbacks that needed no row. */
  #outcomes = /* @__PURE__ */ new Map();
  #unsettled = /* @__PURE__ */ new Map();
  #closed;
  #whenIdle;
  constructor(config, log, participants, epoch, runtime, internals) {
    this.#config = config;
    this.#log = log;
    this.#participants = participants;
    this.#epoch = epoch;
    this.#runtime = runtime;
    setMaxListeners(0, this.#closing.signal);
    this.#admission = new Admission(Math.min(...[...participants.values()].map((p) => p.capacity)));
    this.#context = {
      log,
      participants,
      runtime,
      publish,
      gidOf: (ofEpoch, transactionId, branch) => formatGid({ installation: log.installation, epoch: ofEpoch, transactionId, branch }),
      mayBeRetired: (ofEpoch) => epoch.mayBeRetired(ofEpoch),
      background: (work) => {
        this.#inBackground(work);
      },
      noteUnsettled: (transactionId, evidence) => {
        remember(this.#unsettled, transactionId, evidence);
      },
      faultHook: internals.faultHook
    };
    this.#recoverer = new Recoverer({
      log,
      participants,
      local: {
        isOwnEpoch: (ofEpoch) => ofEpoch === epoch.current,
        isAtWorkOn: (transactionId) => this.#active.has(transactionId)
      },
      heartbeatLimitMs: config.heartbeatLimitMs,
      runtime,
      publish,
      name: config.coordinator
    });
  }
  async run(first, second) {
    const fn = typeof first === "function" ? first : second;
    const options = parseRunOptions(typeof first === "function" ? {} : first);
    if (typeof fn !== "function") {
      throw new MisuseError("PGXA_INVALID_ARGUMENT", "run() expects a function as last argument");
    }
    return run({
      runtime: this.#runtime,
      attempts: options.retry?.attempts ?? 1,
      begin: () => this.#begin(options),
      fn: (transaction) => fn(scopeOf(transaction))
    });
  }
  async begin(options = {}) {
    const parsed = parseRunOptions(options);
    if (parsed.retry !== void 0) {
      throw new MisuseError(
        "PGXA_INVALID_ARGUMENT",
        "retry belongs to run(): begin() has no function"
      );
    }
    const transaction = await this.#begin(parsed);
    return {
      ...scopeOf(transaction),
      commit: () => transaction.commit(),
      rollback: () => transaction.rollback(),
      [Symbol.asyncDispose]: async () => {
        if (!transaction.ending) await transaction.rollback();
      }
    };
  }
  async outcomeOf(transactionId) {
    if (!isUuid(transactionId)) {
      throw new MisuseError(
        "PGXA_INVALID_ARGUMENT",
        "outcomeOf() expects a transaction id: a UUID, as run() errors and tx.id give it"
      );
    }
    const id = transactionId.toLowerCase();
    const standing = (await this.#log.decisionsOf([id])).get(id);
    if (standing !== void 0) return standing.decision === "commit" ? "committed" : "aborted";
    const evidence = this.#unsettled.get(id);
    if (evidence !== void 0) {
      const answer = await askOnePhase(this.#context, evidence);
      if (answer !== void 0) {
        this.#unsettled.delete(id);
        remember(this.#outcomes, id, answer === "committed" ? "committed" : "aborted");
      }
    }
    return this.#outcomes.get(id) ?? "undecided";
  }
  async recover(options = {}) {
    this.#assertOpen();
    return this.#recoverer.recover({ wait: options.wait ?? true });
  }
  close(options = {}) {
    this.#closed ??= this.#close(options.timeoutMs ?? CLOSE_TIMEOUT_MS);
    return this.#closed;
  }
  async [Symbol.asyncDispose]() {
    await this.close();
  }
  async #begin(options) {
    this.#assertOpen();
    const transaction = new GlobalTransaction({
      id: uuidv7(),
      epoch: this.#epoch.current,
      label: options.label,
      idempotencyKey: options.idempotencyKey,
      isolationLevel: options.isolationLevel,
      readOnly: options.readOnly ?? false,
      timeoutMs: options.timeoutMs ?? this.#config.timeoutMs,
      signal: options.signal,
      context: this.#context,
      admission: this.#admission,
      onEnded: (ended) => {
        this.#onEnded(ended);
      }
    });
    this.#active.set(transaction.id, transaction);
    publish("transaction:begun", { transactionId: transaction.id, label: transaction.label });
    try {
      await transaction.admit();
      await this.#assertNotDone(transaction);
    } catch (error) {
      await (transaction.ending ? transaction.whenEnded() : transaction.rollback());
      throw error;
    }
    return transaction;
  }
  /** Looked at before the work is done, for the error's sake; the register looks again at the end. */
  async #assertNotDone(transaction) {
    const { idempotencyKey, id } = transaction;
    if (idempotencyKey === void 0) return;
    let existing;
    try {
      existing = await untilAborted(
        transaction.signal,
        this.#log.findByIdempotencyKey(idempotencyKey)
      );
    } catch (cause) {
      if (transaction.signal.aborted) throw transaction.signal.reason;
      throw new RolledBackError(
        "PGXA_LOG_UNAVAILABLE",
        "the decision log could not be asked for the idempotency key; nothing was begun",
        { transactionId: id, retryable: true, cause }
      );
    }
    if (existing !== void 0) throw alreadyDone(transaction, existing);
  }
  #onEnded(transaction) {
    const { id, endedAs } = transaction;
    if (endedAs === "committed") remember(this.#outcomes, id, "committed");
    if (endedAs === "rolled-back") remember(this.#outcomes, id, "aborted");
    if (transaction.state !== "unknown" || this.#unsettled.has(transaction.id)) {
      this.#active.delete(transaction.id);
    }
    if (this.#running().length === 0) this.#whenIdle?.();
  }
  #inBackground(work) {
    const done = work(this.#closing.signal).catch(() => void 0).finally(() => {
      this.#background.delete(done);
      for (const { id, endedAs, state } of this.#active.values()) {
        if (endedAs === "unknown" && state !== "unknown") this.#active.delete(id);
      }
    });
    this.#background.add(done);
  }
  #assertOpen() {
    if (this.#closed === void 0) return;
    throw new MisuseError("PGXA_CLOSED", "the transaction manager is closed");
  }
  async #close(timeoutMs) {
    await this.#drain(timeoutMs);
    const grace = this.#runtime.sleep(BACKGROUND_GRACE_MS, this.#closing.signal);
    await Promise.race([Promise.allSettled(this.#background), grace]);
    this.#closing.abort(new Error("the transaction manager is closed"));
    await grace.catch(() => void 0);
    await this.#epoch.stop({ endEpoch: true });
    await Promise.allSettled([...this.#participants.values()].map((one) => one.close()));
    await this.#log.close();
  }
  /** Transactions that are still running at the time limit are rolled back, if nothing is decided. */
  async #drain(timeoutMs) {
    if (this.#running().length === 0) return;
    const idle = new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
    const cancelTimer = this.#runtime.after(timeoutMs, () => {
      for (const transaction of this.#running()) {
        transaction.cancel("PGXA_CANCELLED", "the transaction manager is being closed");
      }
    });
    await within(this.#runtime, timeoutMs + CANCEL_TIMEOUT_MS, () => idle);
    cancelTimer();
  }
  /** Transactions whose caller has no answer yet. */
  #running() {
    return [...this.#active.values()].filter(({ endedAs }) => endedAs === void 0);
  }
};
function scopeOf(transaction) {
  return {
    id: transaction.id,
    signal: transaction.signal,
    on: (name) => transaction.on(name),
    onCommitted: (hook) => {
      transaction.onCommitted(hook);
    },
    onRolledBack: (hook) => {
      transaction.onRolledBack(hook);
    }
  };
}
function remember(entries, key, value) {
  if (entries.size >= REMEMBERED_MAX) {
    const [oldest] = entries.keys();
    if (oldest !== void 0) entries.delete(oldest);
  }
  entries.set(key, value);
}

// test/simulation/postgres/replies.ts
import pg5 from "pg";
var ServerError = class extends Error {
  sqlstate;
  constraint;
  constructor(sqlstate, message, constraint) {
    super(message);
    this.sqlstate = sqlstate;
    this.constraint = constraint;
  }
};
var OIDS = { text: 25, int4: 23, int8: 20, bool: 16, jsonb: 3802, timestamptz: 1184 };
function fieldsOf(columns) {
  return columns.split(" ").map((column) => {
    const [name = "", type = "text"] = column.split(":");
    return { name, dataTypeID: OIDS[type], format: "text" };
  });
}
function rowsAnswer(fields, rows) {
  return { tag: `SELECT ${rows.length}`, fields, rows };
}
function messagesOf(answer) {
  const messages = [];
  if (answer.fields !== void 0) {
    messages.push(["rowDescription", { fields: answer.fields }]);
    for (const row2 of answer.rows ?? []) messages.push(["dataRow", { fields: row2 }]);
  }
  messages.push(["commandComplete", { text: answer.tag }]);
  return messages;
}
function errorMessage(error, severity = "ERROR") {
  const told = new pg5.DatabaseError(error.message, 0, "error");
  told.code = error.sqlstate;
  told.severity = severity;
  told.constraint = error.constraint;
  return ["errorMessage", told];
}
function noticeMessage(code) {
  return ["notice", { code }];
}
function bool(value) {
  return value ? "t" : "f";
}

// test/simulation/postgres/wait.ts
var Wait = class {
  key;
  timeoutMs;
  constructor(key, timeoutMs) {
    this.key = key;
    this.timeoutMs = timeoutMs;
  }
};

// test/simulation/postgres/participant-statements.ts
var INSERT_MARKER = "insert into marker values ($1)";
var TOUCH_ACCOUNT = "update account set touched = touched + 1 where id = $1";
var READ_ACCOUNT = "select touched from account where id = $1";
var FACT_COLUMNS = "pid:int4 started_at in_recovery:bool system_identifier timeline database_oid database_name running_since version_number:int4 settings:jsonb";
var FACTS = fieldsOf(FACT_COLUMNS);
var STATUS = fieldsOf(`${FACT_COLUMNS} status checkpoint`);
var LISTING = fieldsOf(`${FACT_COLUMNS} role_name branches:jsonb`);
var PROBE = fieldsOf("xid pid:int4 checkpoint");
var LOOK = fieldsOf("set_config xid pid:int4");
var GONE = fieldsOf("here:bool gone:bool");
var SET_CONFIG = fieldsOf("set_config");
var TERMINATE = fieldsOf("pg_terminate_backend:bool");
var BARRIER = fieldsOf("pg_logical_emit_message");
var UNLOCK = fieldsOf("pg_advisory_unlock_all");
var TOUCHED = fieldsOf("touched:int4");
function startTime(session) {
  return (17e8 + session.startedAt / 1e3).toFixed(6);
}
function facts(session) {
  const { server, onStandby } = session;
  const settings = {
    max_prepared_transactions: String(server.maxPrepared),
    lock_timeout: "0",
    statement_timeout: "0",
    idle_in_transaction_session_timeout: "0",
    default_transaction_isolation: "read committed"
  };
  return [
    String(session.pid),
    startTime(session),
    bool(onStandby),
    server.systemIdentifier,
    onStandby ? "" : server.timeline.toString(16).padStart(8, "0").toUpperCase(),
    server.databaseOid,
    server.databaseName,
    String(server.startedAt + (onStandby ? 0.5 : 0)),
    "180000",
    JSON.stringify(settings)
  ];
}
function statusOf(server, xid) {
  if (xid >= server.nextXid) throw new ServerError("22023", "transaction ID is in the future");
  for (const xact of server.running) if (xact.xid === xid) return "in progress";
  for (const { xact } of server.prepared()) if (xact.xid === xid) return "in progress";
  return server.data.fates.get(xid) ?? "aborted";
}
function listing(session) {
  const { server, onStandby } = session;
  const prepared = onStandby ? [] : [...server.prepared()];
  const branches = prepared.map(({ gid, xact, preparedAt }) => ({
    gid,
    xid: String(xact.xid),
    age_ms: String(Math.round(server.now - preparedAt)),
    owner: "app"
  }));
  return rowsAnswer(LISTING, [[...facts(session), "app", JSON.stringify(branches)]]);
}
function xactStatus(session, { values }) {
  const { server } = session;
  if (session.onStandby) {
    return rowsAnswer(STATUS, [[...facts(session), null, checkpointOf(server)]]);
  }
  const status = statusOf(server, Number(values[0]));
  return rowsAnswer(STATUS, [[...facts(session), status, checkpointOf(server)]]);
}
function checkpointOf(server) {
  return `0/${server.checkpoint.toString(16)}`;
}
function probe(session) {
  const { xid } = session.xact;
  const checkpoint = xid === void 0 ? null : checkpointOf(session.server);
  return rowsAnswer(PROBE, [[xid?.toString() ?? null, String(session.pid), checkpoint]]);
}
function look(session, assigns, showsWarnings) {
  if (showsWarnings) session.settings.hidesWarnings = false;
  const xid = assigns ? session.assignXid() : session.xact.xid;
  return rowsAnswer(LOOK, [["warning", xid?.toString() ?? null, String(session.pid)]]);
}
function limits(text2) {
  const names = [...text2.matchAll(/set_config\('(\w+)', \$(\d+), true\)/g)].map(([, name]) => name);
  const fields = fieldsOf(names.map(() => "set_config").join(" "));
  return ({ settings }, { values }) => {
    for (const [index, name] of names.entries()) {
      const ms = Number(String(values[index]).replace("ms", ""));
      if (name === "lock_timeout") settings.lockTimeoutMs = ms;
      else if (name === "statement_timeout") settings.statementTimeoutMs = ms;
      else settings.idleTimeoutMs = ms;
    }
    return rowsAnswer(fields, [values.map(String)]);
  };
}
function isBackend(session, pid, startedAt) {
  return session.pid === pid && startTime(session) === startedAt && !session.onStandby;
}
function sameNode(asker, seen) {
  return asker.onStandby === seen.onStandby;
}
function terminate(session, { values: [pid, startedAt] }) {
  const found = [...session.server.sessions.values()].find(
    (other) => sameNode(session, other) && isBackend(other, pid, startedAt)
  );
  if (found === void 0) return rowsAnswer(TERMINATE, []);
  if (!session.timedOut) {
    found.terminate();
    if (!found.gone) throw new Wait(`gone:${found.pid}:${found.startedAt}`, 3e3);
  }
  return rowsAnswer(TERMINATE, [[bool(found.gone)]]);
}
function gone(text2) {
  const asksStandby = text2.includes("not pg_is_in_recovery()");
  const asksSystem = text2.includes("system_identifier::text from pg_control_system()) = $3");
  return (session, { values: [pid, startedAt, system] }) => {
    const { server, onStandby } = session;
    const there = [...server.sessions.values()].some(
      (other) => sameNode(session, other) && isBackend(other, pid, startedAt)
    );
    const onIt = (!asksStandby || !onStandby) && (!asksSystem || server.systemIdentifier === system);
    return rowsAnswer(GONE, [[bool(onIt), bool(!there)]]);
  };
}
function terminateStale(session, { values: [pid] }) {
  const found = session.server.sessions.get(Number(pid));
  if (found === void 0 || !found.active || !sameNode(session, found)) {
    return rowsAnswer(TERMINATE, []);
  }
  found.terminate();
  return rowsAnswer(TERMINATE, [["t"]]);
}
function barrier(session) {
  session.assignXid();
  return rowsAnswer(BARRIER, [["0/1"]]);
}
function insertMarker(session, { values }) {
  session.assignXid();
  const id = String(values[0]);
  session.xact.transactionId = id;
  session.change((data) => data.markers.set(id, (data.markers.get(id) ?? 0) + 1));
  return { tag: "INSERT 0 1" };
}
function touchAccount(session, { values }) {
  session.refuseOnStandby();
  session.lock(`account:${String(values[0])}`, "no-key-update");
  session.assignXid();
  return { tag: "UPDATE 1" };
}
function pattern(kind, matches2, make) {
  return { kind, matches: matches2, make };
}
var is = (wanted) => (text2) => text2 === wanted;
var answers = (answer) => () => () => answer;
var PARTICIPANT_STATEMENTS = [
  pattern("facts", is(SERVER_FACTS_SQL), () => (session) => rowsAnswer(FACTS, [facts(session)])),
  pattern(
    "xact-status",
    (text2) => text2.includes("pg_xact_status($1::xid8)"),
    () => xactStatus
  ),
  pattern(
    "list",
    (text2) => text2.includes("from pg_prepared_xacts p, next"),
    () => listing
  ),
  pattern("probe", is(PROBE_SQL), () => probe),
  pattern(
    "look",
    (text2) => text2 === LAST_LOOK_SQL || text2 === VOTE_LOOK_SQL,
    (text2) => {
      const assigns = !text2.includes("_if_assigned");
      const shows = text2.includes("set_config('client_min_messages', 'warning', true)");
      return (session) => look(session, assigns, shows);
    }
  ),
  pattern("constraints", is(CONSTRAINTS_SQL), answers({ tag: "SET CONSTRAINTS" })),
  pattern("unlock", is(UNLOCK_SQL), answers(rowsAnswer(UNLOCK, [[""]]))),
  pattern(
    "limits",
    (text2) => text2.startsWith("select set_config('lock_timeout', $1, true)"),
    limits
  ),
  pattern(
    "show-warnings",
    (text2) => text2.startsWith("select set_config('client_min_messages', 'warning', false)"),
    () => (session) => {
      session.sessionSettings.hidesWarnings = false;
      session.resetLocal();
      return rowsAnswer(SET_CONFIG, []);
    }
  ),
  pattern(
    "terminate",
    (text2) => /^select pg_terminate_backend\(pid, 3000\)/.test(text2),
    () => terminate
  ),
  pattern("gone", (text2) => text2.includes(" as gone"), gone),
  pattern(
    "terminate-stale",
    (text2) => text2.startsWith("select pg_terminate_backend(pid) from pg_stat"),
    () => terminateStale
  ),
  pattern(
    "barrier",
    (text2) => text2.startsWith("select pg_logical_emit_message"),
    () => barrier
  ),
  pattern("insert", is(INSERT_MARKER), () => insertMarker),
  pattern("touch", is(TOUCH_ACCOUNT), () => touchAccount),
  pattern("read", is(READ_ACCOUNT), answers(rowsAnswer(TOUCHED, [["0"]])))
];

// test/simulation/actors.ts
var RETRY_MS2 = 400;
var CONNECT_TIMEOUT_MS2 = 2e3;
function runtimeOf(process2) {
  return {
    ...systemRuntime,
    now: () => process2.scheduler.now,
    random: process2.random.next
  };
}
function configOf(stage, name) {
  const { poolMax: poolMax2, lockTimeoutMs, heartbeatLimitMs } = stage;
  const participants = stage.participants.map((participant) => [
    participant,
    { host: participant, user: "app", database: "app", max: poolMax2, lockTimeoutMs }
  ]);
  return {
    coordinator: name,
    decisionLog: { host: "log", user: "app", database: "log" },
    participants: Object.fromEntries(participants),
    heartbeatLimitMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS2,
    timeoutMs: 5e3
  };
}
async function start(process2, what) {
  const runtime = runtimeOf(process2);
  for (; ; ) {
    try {
      return await what();
    } catch {
      await runtime.sleep(RETRY_MS2);
    }
  }
}
var CoordinatorActor = class {
  process;
  stage;
  manager;
  closed = false;
  probing = false;
  /** Transactions that wait for the manager. */
  #waiting = [];
  constructor(process2, stage) {
    this.process = process2;
    this.stage = stage;
    process2.deliver(() => {
      void this.#start();
    });
  }
  /** A program that never got its manager has nothing to show. */
  get working() {
    return this.process.alive && !this.closed;
  }
  async #start() {
    const { process: process2, stage } = this;
    this.manager = await start(
      process2,
      () => createTransactionManager(configOf(stage, process2.name), { runtime: runtimeOf(process2) })
    );
    if (this.closed) await this.manager.close();
    for (const run2 of this.#waiting.splice(0)) run2();
  }
  run(planned, index) {
    const work = () => {
      if (!this.closed) void this.#run(planned, index);
    };
    this.process.deliver(() => {
      if (this.manager === void 0) this.#waiting.push(work);
      else work();
    });
  }
  /** Shows that the manager can still commit. */
  probe(planned, attempts) {
    this.probing = true;
    const repeat = async () => {
      for (let attempt = 1; attempt <= attempts; attempt += 1) {
        const told = await this.#run(planned, -1);
        if (told?.answer === "committed") break;
      }
      this.probing = false;
    };
    this.process.deliver(() => void repeat());
  }
  async #run(planned, index) {
    const { oracle, participants } = this.stage;
    const { manager, process: process2 } = this;
    if (manager === void 0) return void 0;
    const writes = planned.writes.map((at) => participants[at] ?? "");
    const told = {
      index,
      process: process2.name,
      id: "",
      writes,
      answer: void 0,
      error: void 0,
      pending: []
    };
    oracle.told.push(told);
    const { timeoutMs, idempotencyKey } = planned;
    let transaction;
    try {
      transaction = await manager.begin({
        timeoutMs,
        ...idempotencyKey === void 0 ? {} : { idempotencyKey }
      });
      told.id = transaction.id;
      await this.#work(transaction, planned, writes);
      const { pending: pending2 } = await transaction.commit();
      oracle.tell(told, "committed", pending2, void 0);
    } catch (thrown) {
      const error = toError(thrown);
      await endQuietly(transaction);
      oracle.tell(told, answerOf(error, transaction), [], error);
    }
    return told;
  }
  async #work(transaction, planned, writes) {
    const { reads, account, thinkMs, throws } = planned;
    const runtime = runtimeOf(this.process);
    if (reads !== void 0) {
      const reader = transaction.on(this.stage.participants[reads] ?? "");
      await reader.query(READ_ACCOUNT, [account]);
    }
    for (const name of writes) {
      const client = transaction.on(name);
      await client.query(TOUCH_ACCOUNT, [account]);
      if (thinkMs > 0) await runtime.sleep(thinkMs);
      await client.query(INSERT_MARKER, [transaction.id]);
    }
    if (throws) throw new Error("the program has changed its mind");
  }
  /** Asks, and judges the answer by what the servers hold. */
  async outcomesAreTrue() {
    const { oracle } = this.stage;
    for (const [at, told] of oracle.told.entries()) {
      const isPlain = told.answer === "committed" && at > 0;
      if (this.manager === void 0 || told.id === "" || isPlain) continue;
      const outcome = await this.#outcomeOf(told.id);
      const harmed = told.writes.some((name) => oracle.harms.has(`${told.id} ${name}`));
      if (harmed || outcome === "undecided") continue;
      const there = told.writes.some(
        (name) => oracle.participants.get(name)?.data.markers.has(told.id) === true
      );
      if (there === (outcome === "committed")) continue;
      oracle.violated("false-outcome", `${told.id} is ${outcome}, says ${this.process.name}`);
    }
  }
  /** A connection that was lost in silence is noticed by whoever uses it first. */
  async #outcomeOf(id) {
    for (; ; ) {
      try {
        return await this.manager?.outcomeOf(id);
      } catch {
        await runtimeOf(this.process).sleep(RETRY_MS2);
      }
    }
  }
  close() {
    if (this.closed) return;
    this.closed = true;
    this.process.deliver(() => {
      void this.manager?.close({ timeoutMs: 2e3 });
    });
  }
};
async function endQuietly(transaction) {
  try {
    await transaction?.[Symbol.asyncDispose]();
  } catch {
  }
}
function answerOf(error, transaction) {
  if (error instanceof OutcomeUnknownError) return "unknown";
  if (error instanceof HeuristicOutcomeError) return "heuristic";
  if (error instanceof RolledBackError || transaction === void 0) return "rolled-back";
  return "rolled-back";
}
async function open(process2, stage) {
  const config = parseConfig(configOf(stage, process2.name));
  const log = await openDecisionLog({
    settings: config.decisionLog,
    coordinator: process2.name,
    connectTimeoutMs: CONNECT_TIMEOUT_MS2
  });
  try {
    const participants = await openParticipants(config, log, runtimeOf(process2), publish);
    return { config, log, participants };
  } catch (error) {
    await log.close();
    throw error;
  }
}
async function close({ log, participants }) {
  await Promise.allSettled([...participants.values()].map((one) => one.close()));
  await log.close();
}
var RecovererActor = class {
  process;
  #stage;
  #wait;
  #closing = false;
  constructor(process2, stage, wait) {
    this.process = process2;
    this.#stage = stage;
    this.#wait = wait;
    process2.deliver(() => {
      void this.#loop();
    });
  }
  close() {
    this.#closing = true;
  }
  async #loop() {
    const { process: process2 } = this;
    const runtime = runtimeOf(process2);
    const opened = await start(process2, () => open(process2, this.#stage));
    const { config, log, participants } = opened;
    const recoverer = new Recoverer({
      log,
      participants,
      local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
      heartbeatLimitMs: config.heartbeatLimitMs,
      runtime,
      publish,
      name: process2.name
    });
    while (!this.#closing) {
      await this.#pass(recoverer);
      await runtime.sleep(this.#stage.recoveryIntervalMs);
    }
    await close(opened);
  }
  /** "Complete" means that nothing is left of what was there when the pass began. */
  async #pass(recoverer) {
    const { oracle } = this.#stage;
    const before = new Set(oracle.inDoubt().map(keyOf));
    const failovers = countFailovers(oracle);
    const report = await recoverer.recover({ wait: this.#wait });
    if (!report.complete || countFailovers(oracle) !== failovers) return;
    const left = oracle.inDoubt().find((one) => before.has(keyOf(one)));
    if (left !== void 0) {
      oracle.violated("falsely-complete", `${left.gid} is in doubt on ${left.participant}`);
    }
  }
};
function keyOf({ participant, gid }) {
  return `${participant} ${gid}`;
}
function countFailovers({ participants }) {
  return [...participants.values()].reduce((sum, { failovers }) => sum + failovers, 0);
}
function operate(process2, stage) {
  process2.deliver(() => {
    const end = () => {
      process2.kill(true);
    };
    void resolveAll(process2, stage).then(end, end);
  });
}
async function resolveAll(process2, stage) {
  const opened = await open(process2, stage);
  const { log, participants } = opened;
  for (const participant of participants.values()) {
    const listing2 = await participant.listInDoubt();
    if (listing2.kind !== "listed") continue;
    for (const { gid } of listing2.branches) {
      const parsed = parseGid(gid);
      if (parsed?.installation !== log.installation) continue;
      const { transactionId, epoch } = parsed;
      const standing = await log.settle([{ transactionId, epoch }], "operator");
      const decision = standing.get(transactionId)?.decision;
      if (decision === void 0) continue;
      const evidence = { xid: void 0, server: listing2.server };
      await participant.finish({ gid, decision, evidence, absentMeansAborted: true });
    }
  }
  await close(opened);
}

// test/simulation/host.ts
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import pg6 from "pg";

// test/simulation/process.ts
var tick = process._tickCallback;
var current;
function runningProcess() {
  return current;
}
var SimulatedProcess = class {
  name;
  random;
  scheduler;
  owned = /* @__PURE__ */ new Set();
  timers = /* @__PURE__ */ new Set();
  #held = [];
  #alive = true;
  #frozen = false;
  constructor(name, scheduler, random) {
    this.name = name;
    this.scheduler = scheduler;
    this.random = random;
  }
  get alive() {
    return this.#alive;
  }
  get frozen() {
    return this.#frozen;
  }
  /** Runs code of this process, and everything that it makes runnable, to the next wait. */
  deliver(run2) {
    if (!this.#alive) return;
    if (this.#frozen) {
      this.#held.push(run2);
      return;
    }
    if (current !== void 0) throw new Error(`${this.name} is run from within ${current.name}`);
    current = this;
    try {
      run2();
      tick();
    } finally {
      current = void 0;
    }
  }
  /** SIGKILL (`noticed`: the machine goes on and closes its sockets), or the loss of the machine. */
  kill(noticed) {
    if (!this.#alive) return;
    this.#alive = false;
    this.#held.length = 0;
    for (const timer of this.timers) timer.scheduled.run = void 0;
    this.timers.clear();
    for (const owned of this.owned) owned.abandon(noticed);
    this.owned.clear();
  }
  /** SIGSTOP. */
  freeze() {
    this.#frozen = true;
  }
  /** SIGCONT: what came meanwhile is seen at once, in the order in which it came. */
  thaw() {
    if (!this.#frozen) return;
    this.#frozen = false;
    const held = this.#held.splice(0);
    for (const run2 of held)
      this.scheduler.after(0, () => {
        this.deliver(run2);
      });
  }
  setTimer(ms, callback) {
    const run2 = () => {
      this.timers.delete(timer);
      this.deliver(callback);
    };
    const delay = Number.isFinite(ms) ? Math.max(ms, 1) : 1;
    const timer = {
      unref: () => timer,
      ref: () => timer,
      hasRef: () => true,
      refresh: () => timer,
      scheduled: this.scheduler.after(delay, run2)
    };
    if (this.#alive) this.timers.add(timer);
    else timer.scheduled.run = void 0;
    return timer;
  }
  clearTimer(timer) {
    timer.scheduled.run = void 0;
    this.timers.delete(timer);
  }
};

// test/simulation/wire.ts
import { EventEmitter } from "node:events";
var SimulatedConnection = class extends EventEmitter {
  // Plain properties: SyncUnit hands objects derived from this one to pg's own code.
  parsedStatements = {};
  submittedNamedStatements = {};
  ssl = false;
  stream;
  process;
  network;
  pending = [];
  _ending = false;
  _connecting = false;
  link = void 0;
  constructor(network) {
    super();
    const process2 = runningProcess();
    if (process2 === void 0) throw new Error("a simulated client belongs to a simulated process");
    this.network = network;
    this.process = process2;
    this.stream = new SimulatedStream(this);
  }
  connect(_port, host) {
    this._connecting = true;
    this.process.owned.add(this);
    this.link = this.network.open(this.process, this, host);
  }
  startup() {
  }
  query(text2) {
    this.transmit({ statements: [{ text: text2, values: [], name: void 0 }], simple: true });
  }
  parse({ text: text2, name }) {
    this.pending.push({ text: text2, values: [], name });
  }
  bind({ statement, values }) {
    let last = this.pending.at(-1);
    if (last === void 0 || statement !== void 0 && last.name !== statement) {
      const text2 = this.parsedStatements[statement ?? ""] ?? this.submittedNamedStatements[statement ?? ""];
      if (text2 === void 0) throw new Error(`bound without a parse: ${statement ?? ""}`);
      last = { text: text2, values: [], name: statement };
      this.pending.push(last);
    }
    last.values = values ?? [];
  }
  describe() {
  }
  execute() {
  }
  flush() {
  }
  close() {
    throw new Error("pgxa closes no statement");
  }
  sendCopyFail() {
    throw new Error("pgxa copies nothing");
  }
  sync() {
    this.transmit({ statements: this.pending.splice(0), simple: false });
  }
  ref() {
  }
  unref() {
  }
  /** Good-bye in order. */
  end() {
    this._ending = true;
    this.stream.destroy();
  }
  transmit(unit) {
    if (this.stream.destroyed || !this.process.alive) return;
    this.link?.send(unit);
  }
  /** A piece of the server's answer arrives: one turn of the event loop, as one chunk of a socket would. */
  receive(messages) {
    this.process.deliver(() => {
      for (const [event, payload] of messages) {
        if (this.stream.destroyed) return;
        this.emit(event, payload);
      }
    });
  }
  /** The other side, or the network, ends the connection. */
  lose(error) {
    this.process.deliver(() => {
      if (this.stream.destroyed) return;
      this.stream.shut();
      if (error !== void 0 && !(this._ending && isReset(error))) this.emit("error", error);
      this.emit("end");
    });
  }
  abandon(noticed) {
    this.stream.shut();
    this.link?.close(noticed);
  }
};
function isReset(error) {
  return error.code === "ECONNRESET";
}
var SimulatedStream = class {
  writable = true;
  destroyed = false;
  #connection;
  constructor(connection) {
    this.#connection = connection;
  }
  write() {
    return true;
  }
  shut() {
    this.writable = false;
    this.destroyed = true;
    this.#connection.process.owned.delete(this.#connection);
  }
  destroy(error) {
    if (this.destroyed) return;
    this.shut();
    const connection = this.#connection;
    connection.link?.close(true);
    connection.process.scheduler.after(0, () => {
      connection.process.deliver(() => {
        if (error !== void 0) connection.emit("error", error);
        connection.emit("end");
      });
    });
  }
};

// test/simulation/host.ts
var FIRST_DAY = 18e11;
var DAY_MS = 1e7;
var day = 0;
function installHost(network) {
  day += 1;
  const startOfDay = FIRST_DAY + day * DAY_MS;
  const restore = [];
  const replace = (owner, key, value) => {
    const original = owner[key];
    owner[key] = value;
    restore.push(() => {
      owner[key] = original;
    });
  };
  replaceTimers(replace);
  const dateNow = Date.now;
  replace(Date, "now", () => {
    const owner = runningProcess();
    return owner === void 0 ? dateNow() : Math.floor(startOfDay + owner.scheduler.now);
  });
  replaceRandomBytes(replace);
  replace(process, "env", {});
  replacePg(replace, network);
  return () => {
    for (const undo of restore.reverse()) undo();
    syncBuiltinESMExports();
  };
}
function replaceTimers(replace) {
  const { setTimeout: realSet, clearTimeout: realClear } = globalThis;
  replace(globalThis, "setTimeout", (callback, ms = 0, ...args) => {
    const process2 = runningProcess();
    if (process2 === void 0) return realSet(callback, ms, ...args);
    return process2.setTimer(ms, () => callback(...args));
  });
  replace(globalThis, "clearTimeout", (timer) => {
    const simulated = timer;
    if (simulated?.scheduled === void 0) {
      realClear(timer);
      return;
    }
    const process2 = runningProcess();
    if (process2 === void 0) simulated.scheduled.run = void 0;
    else process2.clearTimer(simulated);
  });
}
function replaceRandomBytes(replace) {
  const realBytes = crypto.randomBytes;
  replace(crypto, "randomBytes", (size) => {
    const random = runningProcess()?.random;
    if (random === void 0) return realBytes(size);
    return Buffer.from(Array.from({ length: size }, () => random.int(256)));
  });
  syncBuiltinESMExports();
  const realValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
  replace(globalThis.crypto, "getRandomValues", (array) => {
    const random = runningProcess()?.random;
    if (random === void 0) return realValues(array);
    for (let index = 0; index < array.length; index += 1) array[index] = random.int(256);
    return array;
  });
}
function replacePg(replace, network) {
  const RealClient = pg6.Client;
  const RealPool = pg6.Pool;
  class SimulatedClient extends RealClient {
    constructor(config) {
      super({ ...config, connection: new SimulatedConnection(network) });
    }
  }
  class SimulatedPool extends RealPool {
    constructor(config) {
      super({ ...config, Client: SimulatedClient });
    }
  }
  replace(pg6, "Client", SimulatedClient);
  replace(pg6, "Pool", SimulatedPool);
}

// test/simulation/nemesis.ts
var Nemesis = class {
  #world;
  #waiting = /* @__PURE__ */ new Map();
  #over = false;
  #slots = [];
  fired = [];
  constructor(world, faults) {
    this.#world = world;
    for (const fault of faults) {
      const { when } = fault;
      if ("atMs" in when) {
        world.scheduler.after(when.atMs, () => {
          if (!this.#over) this.#strike(fault, this.#anyTarget(fault.target));
        });
        continue;
      }
      const key = `${when.kind} ${when.phase}`;
      const list = this.#waiting.get(key) ?? [];
      list.push({ nth: when.nth, fault });
      this.#waiting.set(key, list);
    }
  }
  /** A statement has come this far. */
  reached(kind, phase, where) {
    if (this.#over) return;
    const waiting = this.#waiting.get(`${kind} ${phase}`);
    if (waiting === void 0) return;
    for (const entry of waiting) {
      entry.nth -= 1;
      if (entry.nth === 0) this.#strike(entry.fault, where);
    }
  }
  /** No more faults; what is broken is mended. */
  heal() {
    this.#over = true;
    const { network, log, servers, processes } = this.#world;
    network.heal();
    for (const server of [log, ...servers]) {
      server.resume();
      server.restart();
      server.attachStandby();
      for (const session of server.sessions.values()) if (session.paused) session.resume();
    }
    for (const { server, gid } of this.#slots.splice(0)) server.uproot(gid);
    for (const process2 of processes.values()) process2.thaw();
  }
  #anyTarget(target) {
    const { servers, log, processes, network } = this.#world;
    const all = [...servers, log];
    const alive = [...processes.values()].filter((one) => one.alive);
    const links = [...network.links];
    const link = links[target % Math.max(1, links.length)];
    return {
      process: alive[target % Math.max(1, alive.length)]?.name,
      server: all[target % all.length],
      session: link?.session,
      link
    };
  }
  #strike({ what, target }, struck) {
    const other = this.#anyTarget(target);
    const { process: process2, server, session, link } = target % 3 === 0 ? { ...struck, ...defined(other) } : struck;
    this.fired.push(
      `${this.#world.scheduler.now.toFixed(1)} ${what.do} ${process2 ?? ""} ${server?.name ?? ""}`
    );
    this.#world.stage.oracle.note(`fault-${what.do}`);
    switch (what.do) {
      case "kill":
      case "freeze":
      case "close-manager":
        this.#strikeProcess(what, process2);
        return;
      case "crash-server":
      case "fail-over":
      case "pause-server":
      case "land-on-standby":
      case "detour":
      case "fill-slots":
      case "detach-standby":
        if (server !== void 0) this.#strikeServer(what, server);
        return;
      case "pause-backend":
        session?.pause();
        this.#later(what.forMs, () => session?.resume());
        return;
      case "terminate-backend":
        this.#world.scheduler.after(0, () => session?.terminate());
        return;
      case "cut":
        link?.cut(what.how);
        return;
      case "clog":
        if (process2 !== void 0 && server !== void 0) {
          this.#world.network.clog(process2, server.name, what.forMs);
        }
        return;
      case "duplicate":
        if (link?.lastUnit !== void 0) this.#duplicate(link, what.afterMs);
        return;
      case "operator":
        this.#world.scheduler.after(0, () => {
          this.#callOperator(what.what);
        });
        return;
      case "by-hand":
        this.#world.scheduler.after(0, () => {
          this.#byHand(what.what);
        });
    }
  }
  #later(ms, run2) {
    this.#world.scheduler.after(ms, () => {
      if (!this.#over) run2();
    });
  }
  #strikeProcess(what, name) {
    const process2 = this.#world.processes.get(name ?? "");
    if (process2 === void 0) return;
    switch (what.do) {
      case "kill":
        process2.kill(what.noticed);
        if (what.backAfterMs !== void 0) {
          this.#world.scheduler.after(what.backAfterMs, () => {
            this.#world.restart(process2.name);
          });
        }
        return;
      case "freeze":
        process2.freeze();
        this.#later(what.forMs, () => {
          process2.thaw();
        });
        return;
      case "close-manager":
        this.#world.scheduler.after(0, () => {
          this.#world.coordinators.find((one) => one.process === process2)?.close();
        });
    }
  }
  #strikeServer(what, server) {
    const { network, servers, log, stage } = this.#world;
    switch (what.do) {
      case "crash-server":
        server.crash(what.noticed);
        this.#later(what.forMs, () => {
          server.restart();
        });
        return;
      case "fail-over": {
        const before = server.lost.length;
        server.failOver(what.noticed);
        if (server !== log) stage.oracle.lost(server, server.lost.slice(before));
        return;
      }
      case "pause-server":
        server.pause();
        this.#later(what.forMs, () => {
          server.resume();
        });
        return;
      case "land-on-standby":
        network.toStandby.add(server.name);
        this.#resetAll(server);
        this.#later(what.forMs, () => {
          network.toStandby.delete(server.name);
          this.#resetAll(server);
        });
        return;
      case "detour": {
        const other = servers.find((one) => one !== server);
        if (server === log || other === void 0) return;
        network.detours.set(server.name, other.name);
        this.#resetAll(server);
        this.#later(what.forMs, () => {
          network.detours.delete(server.name);
          this.#resetAll(other);
        });
        return;
      }
      case "fill-slots":
        if (server.up) this.#fillSlots(server);
        this.#later(what.forMs, () => {
          for (const slot of this.#slots.splice(0)) slot.server.uproot(slot.gid);
        });
        return;
      case "detach-standby":
        server.standbyAttached = false;
        this.#later(what.cancelAfterMs, () => {
          if (server.up && server.cancelSyncWaits() > 0) stage.oracle.note("sync-wait-cancelled");
        });
        this.#later(what.forMs, () => {
          server.attachStandby();
        });
    }
  }
  #resetAll(server) {
    for (const link of [...this.#world.network.links])
      if (link.server === server) link.cut("reset");
  }
  #fillSlots(server) {
    for (let slot = server.data.prepared.size; slot < server.maxPrepared; slot += 1) {
      const gid = `filler_${server.wal.length}_${slot}`;
      server.plant(gid);
      this.#slots.push({ server, gid });
    }
  }
  /** The same message a second time, late: as a proxy or a pooler with a retry may send it. */
  #duplicate(link, afterMs) {
    const unit = link.lastUnit;
    const { server, process: process2 } = link;
    if (unit?.statements.length !== 1 || !/^(commit|rollback) prepared|^\s*insert into pgxa\./.test(unit.statements[0]?.text ?? ""))
      return;
    this.#world.scheduler.after(afterMs, () => {
      if (!server.up) return;
      const nobody = { process: process2, answer: () => void 0, shut: () => void 0 };
      server.accept(() => {
        const session = server.connect(nobody, false);
        session.receive(unit);
        session.clientGone();
      });
    });
  }
  #callOperator(what) {
    const { stage, log, newProcess } = this.#world;
    if (what === "resolve") {
      operate(newProcess("operator"), stage);
      return;
    }
    const { oracle } = stage;
    for (const { gid } of oracle.inDoubt()) {
      const parsed = parseGid(gid);
      const told = oracle.told.find(({ id }) => id === parsed?.transactionId);
      if (parsed === void 0 || told === void 0 || !log.up) continue;
      const all = told.writes.every(
        (name) => oracle.inDoubt().some((one) => one.participant === name && parseGid(one.gid)?.transactionId === told.id)
      );
      if (!all || log.data.coordinators.get(parsed.epoch)?.retired !== true) continue;
      oracle.forced.add(told.id);
      const nobody = { process: "operator", answer: () => void 0, shut: () => void 0 };
      const session = log.connect(nobody, false);
      session.receive({
        statements: [{ text: FORCE_COMMIT, values: [told.id, parsed.epoch], name: void 0 }],
        simple: false
      });
      session.clientGone();
      return;
    }
  }
  /** Against the register, and against all advice. */
  #byHand(what) {
    const [first] = this.#world.stage.oracle.inDoubt();
    const server = this.#world.servers.find(({ name }) => name === first?.participant);
    if (first === void 0 || server?.up !== true) return;
    const nobody = { process: "by-hand", answer: () => void 0, shut: () => void 0 };
    const session = server.connect(nobody, false);
    const text2 = `${what} prepared '${first.gid}'`;
    session.receive({ statements: [{ text: text2, values: [], name: void 0 }], simple: true });
    session.clientGone();
  }
};
var FORCE_COMMIT = `
  insert into pgxa.decision (transaction_id, epoch, outcome, decided_by)
  values ($1, $2, 'commit', 'operator') on conflict (transaction_id) do nothing`;
function defined(struck) {
  return Object.fromEntries(Object.entries(struck).filter(([, value]) => value !== void 0));
}

// test/simulation/postgres/log-statements.ts
var IDS = fieldsOf("transaction_id");
var DECISIONS = fieldsOf(
  "transaction_id outcome decided_by decided_at:timestamptz label branches:jsonb"
);
var KEYS = fieldsOf("key transaction_id");
var LOCKED = fieldsOf("locked:bool");
var EPOCHS = fieldsOf("epoch name retired:bool heartbeat_age_ms heartbeat session_gone:bool");
var RETIRED = fieldsOf("retired:bool");
var REPLACES = fieldsOf("replaces");
var texts = (value) => value;
function decide3(text2) {
  const fenced = text2.includes("retired_at is null");
  const locksEpoch = text2.includes("for key share");
  return (session, { values: [epochValue, ids, labels, branches, keys] }) => {
    const epoch = String(epochValue);
    session.refuseOnStandby();
    if (locksEpoch) session.lock(`coordinator:${epoch}`, "key-share");
    const coordinator = session.server.data.coordinators.get(epoch);
    if (coordinator === void 0 || fenced && coordinator.retired) return rowsAnswer(IDS, []);
    const order = texts(ids).map((id, at) => ({ id: id ?? "", at })).sort((a, b) => a.id < b.id ? -1 : 1);
    const decided = order.flatMap(
      ({ id, at }) => insertDecision(session, {
        transactionId: id,
        epoch,
        outcome: "commit",
        decidedBy: "coordinator",
        label: texts(labels)[at] ?? null,
        branches: texts(branches)[at] ?? "[]"
      }) ? [{ id, key: texts(keys)[at] ?? void 0 }] : []
    );
    for (const { id, key } of decided) if (key !== void 0) insertKey(session, key, id);
    return rowsAnswer(
      IDS,
      decided.map(({ id }) => [id])
    );
  };
}
function insertDecision(session, row2) {
  const { server } = session;
  session.lock(`decision:${row2.transactionId}`, "update");
  if (server.data.decisions.has(row2.transactionId)) return false;
  session.assignXid();
  server.observer.deciding(session, row2.transactionId, row2.outcome, row2.branches);
  session.change((data) => {
    data.decisions.set(row2.transactionId, row2);
  });
  return true;
}
function insertKey(session, key, id) {
  session.lock(`key:${key}`, "update");
  if (session.server.data.keys.has(key)) {
    throw new ServerError("23505", "duplicate key", "idempotency_pkey");
  }
  session.change((data) => {
    data.keys.set(key, id);
  });
}
function abort(session, { values: [by, ids, epochs2] }) {
  session.refuseOnStandby();
  const order = texts(ids).map((id, at) => ({ id: id ?? "", epoch: texts(epochs2)[at] ?? "" })).sort((a, b) => a.id < b.id ? -1 : 1);
  const written = order.filter(
    ({ id, epoch }) => insertDecision(session, {
      transactionId: id,
      epoch,
      outcome: "abort",
      decidedBy: String(by),
      label: null,
      branches: "[]"
    })
  );
  return { tag: `INSERT 0 ${written.length}` };
}
function decisions(session, { values: [ids] }) {
  const data = session.server.dataOf(session);
  const rows = texts(ids).flatMap((id) => {
    const found = data.decisions.get(id ?? "");
    if (found === void 0) return [];
    const { transactionId, outcome, decidedBy: decidedBy2, label, branches } = found;
    return [[transactionId, outcome, decidedBy2, "2030-01-01 00:00:00+00", label, branches]];
  });
  return rowsAnswer(DECISIONS, rows);
}
function keysOf(session, keys) {
  const data = session.server.dataOf(session);
  return keys.flatMap((key) => {
    const id = data.keys.get(key ?? "");
    return id === void 0 ? [] : [[key ?? "", id]];
  });
}
function registerCoordinator(session, { values: [epochValue, name] }) {
  const epoch = String(epochValue);
  session.refuseOnStandby();
  session.lock(`coordinator:${epoch}`, "update");
  if (session.server.data.coordinators.has(epoch)) throw new ServerError("23505", "duplicate key");
  session.assignXid();
  const heartbeatAt = session.server.now;
  session.change((data) => {
    data.coordinators.set(epoch, {
      name: String(name),
      heartbeatAt,
      guarded: false,
      retired: false
    });
  });
  return { tag: "INSERT 0 1" };
}
function lockEpoch(session, { values: [epoch] }) {
  const key = String(epoch);
  const holder = session.server.advisory.get(key);
  if (holder === void 0 && !session.onStandby) session.server.advisory.set(key, session);
  return rowsAnswer(LOCKED, [[bool(holder === void 0 || holder === session)]]);
}
function updateCoordinator(session, epoch, changed) {
  session.refuseOnStandby();
  const row2 = session.server.data.coordinators.get(epoch);
  if (row2 === void 0 || row2.retired) return { tag: "UPDATE 0" };
  session.lock(`coordinator:${epoch}`, "no-key-update");
  session.assignXid();
  const after = changed(row2);
  session.change((data) => {
    data.coordinators.set(epoch, after);
  });
  return { tag: "UPDATE 1" };
}
function heartbeat(session, { values: [epochValue] }) {
  const epoch = String(epochValue);
  const { server } = session;
  const guarded = server.advisory.get(epoch) === session;
  return updateCoordinator(session, epoch, (row2) => ({ ...row2, heartbeatAt: server.now, guarded }));
}
function epochs(session, { values: [wanted] }) {
  const { server } = session;
  const data = server.dataOf(session);
  const rows = texts(wanted).flatMap((epoch) => {
    const row2 = data.coordinators.get(epoch ?? "");
    if (row2 === void 0) return [];
    const sessionGone = row2.guarded && (session.onStandby || !server.advisory.has(epoch ?? ""));
    return [
      [
        epoch,
        row2.name,
        bool(row2.retired),
        String(server.now - row2.heartbeatAt),
        String(row2.heartbeatAt),
        bool(sessionGone)
      ]
    ];
  });
  return rowsAnswer(EPOCHS, rows);
}
function retire(session, { values }) {
  const [epochValue, limitMs, goneMs] = values;
  const epoch = String(epochValue);
  session.refuseOnStandby();
  const { server } = session;
  const row2 = server.data.coordinators.get(epoch);
  if (row2 === void 0 || row2.retired) return { tag: "UPDATE 0" };
  const ageMs = server.now - row2.heartbeatAt;
  const free = !server.advisory.has(epoch);
  const over = ageMs > Number(limitMs) || row2.guarded && ageMs > Number(goneMs) && free;
  if (!over) return { tag: "UPDATE 0" };
  session.lock(`coordinator:${epoch}`, "update");
  session.assignXid();
  session.change((data) => {
    data.coordinators.set(epoch, { ...row2, retired: true });
  });
  return { tag: "UPDATE 1" };
}
function isRetired(session, { values: [epoch] }) {
  const row2 = session.server.dataOf(session).coordinators.get(String(epoch));
  return rowsAnswer(RETIRED, row2 === void 0 ? [] : [[bool(row2.retired)]]);
}
function registerParticipant(session, { values }) {
  const [name, system, oid] = values.map(String);
  session.refuseOnStandby();
  session.assignXid();
  const server = `system ${system ?? ""} database oid ${oid ?? ""}`;
  const before = [...session.server.data.servers].filter(([key]) => key.startsWith(`${name ?? ""} `)).sort(([, a], [, b]) => b.seenAt - a.seenAt)[0]?.[1];
  const seenAt = session.server.now;
  session.change((data) => {
    data.servers.set(`${name ?? ""} ${server}`, { server, seenAt });
  });
  const replaces = before === void 0 || before.server === server ? null : before.server;
  return rowsAnswer(REPLACES, [[replaces]]);
}
function recordHeuristic(session, { values }) {
  const [gid = "", kind = ""] = values.map(String);
  session.refuseOnStandby();
  session.lock(`heuristic:${gid}:${kind}`, "update");
  if (session.server.data.heuristics.has(`${gid} ${kind}`)) return { tag: "INSERT 0 0" };
  session.assignXid();
  session.change((data) => {
    data.heuristics.set(`${gid} ${kind}`, { gid, kind });
  });
  return { tag: "INSERT 0 1" };
}
function setUp(text2) {
  const timeout = /set_config\('statement_timeout', '(\d+)'/.exec(text2)?.[1];
  const shows = text2.includes("set_config('client_min_messages', 'warning', false)");
  const fields = fieldsOf("set_config standby:bool");
  return (session) => {
    session.sessionSettings.statementTimeoutMs = Number(timeout ?? 0);
    session.sessionSettings.lockTimeoutMs = Number(timeout ?? 0);
    if (shows) session.sessionSettings.hidesWarnings = false;
    session.resetLocal();
    return rowsAnswer(fields, [["", bool(session.onStandby)]]);
  };
}
var STANDBY = fieldsOf("standby:bool");
var ALLOWED = fieldsOf("role allowed:bool");
var PRESENT = fieldsOf("present:bool");
var VERSION2 = fieldsOf("version:int4");
var ID = fieldsOf("id");
var is2 = (wanted) => (text2) => text2 === wanted;
var runs = (run2) => () => run2;
function pattern2(kind, matches2, make) {
  return { kind, matches: matches2, make };
}
var LOG_STATEMENTS = [
  pattern2("decide", is2(DECIDE_SQL), decide3),
  pattern2("settle", is2(ABORT_SQL), runs(abort)),
  pattern2("decisions", is2(DECISIONS_SQL), runs(decisions)),
  pattern2("key", is2(KEY_SQL), runs((session, { values }) => rowsAnswer(IDS, keysOf(session, [String(values[0])]).map(([, id]) => [id])))),
  pattern2("keys", is2(KEYS_SQL), runs((session, { values }) => rowsAnswer(KEYS, keysOf(session, texts(values[0]))))),
  pattern2("register", is2(REGISTER_COORDINATOR_SQL), runs(registerCoordinator)),
  pattern2("lock-epoch", is2(LOCK_EPOCH_SQL), runs(lockEpoch)),
  pattern2("heartbeat", is2(HEARTBEAT_SQL), runs(heartbeat)),
  pattern2("epochs", is2(EPOCHS_SQL), runs(epochs)),
  pattern2("retire", is2(RETIRE_SQL), runs(retire)),
  pattern2("is-retired", is2(IS_RETIRED_SQL), runs(isRetired)),
  pattern2("force-commit", (text2) => text2.includes(`'commit', 'operator'`), runs((session, { values }) => {
    const [transactionId = "", epoch = ""] = values.map(String);
    const row2 = { transactionId, epoch, outcome: "commit", decidedBy: "operator" };
    return { tag: insertDecision(session, { ...row2, label: null, branches: "[]" }) ? "INSERT 0 1" : "INSERT 0 0" };
  })),
  pattern2("end-epoch", is2(END_EPOCH_SQL), runs((session, { values }) => updateCoordinator(session, String(values[0]), (row2) => ({ ...row2, retired: true })))),
  pattern2("participant", is2(REGISTER_PARTICIPANT_SQL), runs(registerParticipant)),
  pattern2("heuristic", is2(RECORD_HEURISTIC_SQL), runs(recordHeuristic)),
  pattern2("installation", is2(INSTALLATION_SQL), runs((session) => rowsAnswer(ID, [[session.server.options.installation ?? null]]))),
  pattern2("set-up", (text2) => text2.includes("set_config('default_transaction_isolation'"), setUp),
  pattern2("is-standby", is2("select pg_is_in_recovery() as standby"), runs((session) => rowsAnswer(STANDBY, [[bool(session.onStandby)]]))),
  pattern2("privileges", (text2) => text2.includes("has_schema_privilege('pgxa', 'usage')"), runs(() => rowsAnswer(ALLOWED, [["app", "t"]]))),
  pattern2("present", is2(`select to_regclass('pgxa.migrations') is not null as present`), runs(() => rowsAnswer(PRESENT, [["t"]]))),
  pattern2("version", is2("select max(id)::int as version from pgxa.migrations"), () => {
    const version = rowsAnswer(VERSION2, [[String(schemaVersion())]]);
    return () => version;
  })
];

// test/simulation/postgres/xact-statements.ts
var GID_BYTES_MAX = 199;
var NOTHING = void 0;
function begin(session) {
  if (session.status !== "I") session.warn("25001");
  else session.status = "T";
  return { tag: "BEGIN", end: NOTHING };
}
function commit2(session) {
  switch (session.status) {
    case "I":
      session.warn("25P01");
      return { tag: "COMMIT", end: NOTHING };
    case "E":
      session.abort();
      return { tag: "ROLLBACK", end: NOTHING };
    case "T":
      break;
  }
  const { xact } = session;
  if (xact.xid === void 0) {
    session.abort();
    return { tag: "COMMIT", end: NOTHING };
  }
  return { tag: "COMMIT", end: { record: { kind: "commit", xact }, xact } };
}
function rollback2(session) {
  if (session.status === "I") session.warn("25P01");
  else session.abort();
  return { tag: "ROLLBACK", end: NOTHING };
}
function prepare(session, gid) {
  const { server, xact } = session;
  switch (session.status) {
    case "I":
      session.warn("25P01");
      return { tag: "ROLLBACK", end: NOTHING };
    case "E":
      session.abort();
      return { tag: "ROLLBACK", end: NOTHING };
    case "T":
      break;
  }
  const refusal = refusalOfPrepare(session, gid);
  if (refusal !== void 0) {
    session.abort();
    throw refusal;
  }
  session.assignXid();
  const record2 = { kind: "prepare", gid, xact, at: server.now };
  return { tag: "PREPARE TRANSACTION", end: { record: record2, xact } };
}
function refusalOfPrepare({ server, onStandby }, gid) {
  if (onStandby) return new ServerError("25006", "cannot PREPARE on a standby");
  if (Buffer.byteLength(gid) > GID_BYTES_MAX) return new ServerError("22023", "gid is too long");
  if (server.maxPrepared === 0)
    return new ServerError("55000", "prepared transactions are disabled");
  if (server.data.prepared.has(gid)) return new ServerError("42710", "gid is already in use");
  if (server.data.prepared.size >= server.maxPrepared) {
    return new ServerError("53200", "maximum number of prepared transactions reached");
  }
  return void 0;
}
function finish(session, gid, decision) {
  const { server } = session;
  const tag = `${decision.toUpperCase()} PREPARED`;
  if (session.status === "T")
    throw new ServerError("25001", `${tag} cannot run in a transaction block`);
  session.refuseOnStandby();
  const prepared = server.data.prepared.get(gid);
  if (prepared === void 0) throw new ServerError("42704", "prepared transaction does not exist");
  if (prepared.busy) throw new ServerError("55000", "prepared transaction is busy");
  server.observer.finishing(server, session, gid, decision === "commit" ? "commit" : "abort");
  prepared.busy = true;
  const { xact } = prepared;
  const kind = decision === "commit" ? "commit-prepared" : "rollback-prepared";
  return { tag, end: { record: { kind, gid, xact }, xact } };
}
function gidOf(text2, prefix) {
  const literal = text2.slice(prefix.length);
  if (!/^'(?:[^']|'')*'$/.test(literal)) throw new Error(`not a gid literal: ${text2}`);
  return literal.slice(1, -1).replaceAll("''", "'");
}
function withGid(kind, prefix, run2, endsFailed = false) {
  return {
    kind,
    endsFailed,
    oneOff: true,
    matches: (text2) => text2.startsWith(prefix),
    make: (text2) => {
      const gid = gidOf(text2, prefix);
      return (session) => run2(session, gid);
    }
  };
}
function exact(kind, isIt, run2, endsFailed = false) {
  return { kind, endsFailed, matches: (text2) => isIt.test(text2), make: () => run2 };
}
var XACT_STATEMENTS = [
  exact(
    "begin",
    /^begin( isolation level (read committed|repeatable read|serializable))?( read only)?$/,
    begin
  ),
  exact("commit", /^commit$/, commit2, true),
  exact("rollback", /^rollback$/, rollback2, true),
  withGid("prepare", "prepare transaction ", prepare, true),
  withGid("finish", "commit prepared ", (session, gid) => finish(session, gid, "commit")),
  withGid("finish", "rollback prepared ", (session, gid) => finish(session, gid, "rollback"))
];

// test/simulation/postgres/statement.ts
var PATTERNS = [
  ...XACT_STATEMENTS,
  ...PARTICIPANT_STATEMENTS,
  ...LOG_STATEMENTS
];
var known = /* @__PURE__ */ new Map();
function statementOf(text2) {
  const found = known.get(text2);
  if (found !== void 0) return found;
  const matching = PATTERNS.filter(({ matches: matches2 }) => matches2(text2));
  const [pattern3] = matching;
  if (pattern3 === void 0 || matching.length > 1) {
    throw new Error(`the simulated server knows ${matching.length} meanings of: ${text2}`);
  }
  const { kind, endsFailed = false } = pattern3;
  const statement = { kind, endsFailed, run: pattern3.make(text2) };
  if (pattern3.oneOff !== true) known.set(text2, statement);
  return statement;
}
var ACCOMPANY = ["unlock", "look", "constraints", "probe", "limits", "begin"];
function kindOfUnit({ statements }) {
  let kind = "nothing";
  for (const { text: text2 } of statements) {
    const { kind: one } = statementOf(text2);
    if (kind === "nothing" || ACCOMPANY.includes(kind)) kind = one;
  }
  return kind;
}

// test/simulation/network.ts
var KEEPALIVE_MS = 12e3;
var SimulatedNetwork = class {
  options;
  links = /* @__PURE__ */ new Set();
  /** Names that lead to another server now, for whoever has met the right one before. */
  detours = /* @__PURE__ */ new Map();
  /** `process server`: has looked at it, and pinned it. */
  acquainted = /* @__PURE__ */ new Set();
  /** Names whose new connections land on the standby now. */
  toStandby = /* @__PURE__ */ new Set();
  #clogged = /* @__PURE__ */ new Map();
  constructor(options) {
    this.options = options;
  }
  open(process2, connection, host) {
    const detour = this.acquainted.has(`${process2.name} ${host}`) ? this.detours.get(host) : void 0;
    const server = this.options.servers.get(detour ?? host);
    if (server === void 0) throw new Error(`no server is called ${host}`);
    const link = new SimulatedLink(this, process2, connection, server);
    this.links.add(link);
    link.open(this.toStandby.has(host) && server.hasStandby);
    return link;
  }
  latency() {
    const { random, latencyMs, slow } = this.options;
    const ms = random.between(latencyMs[0], latencyMs[1]);
    return random.chance(slow) ? ms * 10 : ms;
  }
  /** Nothing gets through between the two until then; what is sent waits. */
  clog(process2, server, ms) {
    this.#clogged.set(`${process2} ${server}`, this.options.scheduler.now + ms);
  }
  clogEnd(process2, server) {
    return this.#clogged.get(`${process2} ${server}`) ?? 0;
  }
  /** All is well from here on; connections that are lost stay lost. */
  heal() {
    this.#clogged.clear();
    this.detours.clear();
    this.toStandby.clear();
  }
};
var SimulatedLink = class {
  process;
  server;
  session;
  lastUnit;
  #network;
  #connection;
  /** Nothing arrives at the client any more. */
  #deaf = false;
  /** Nothing arrives at the server any more. */
  #mute = false;
  #serverFree = 0;
  #clientFree = 0;
  constructor(network, process2, connection, server) {
    this.#network = network;
    this.process = process2.name;
    this.#connection = connection;
    this.server = server;
  }
  open(onStandby) {
    this.#toServer(() => {
      if (!this.server.up) {
        this.#refuse("ECONNREFUSED");
        return;
      }
      this.server.accept(() => {
        this.session = this.server.connect(this, onStandby);
        this.answer([
          ["backendKeyData", { processID: this.session.pid, secretKey: 0 }],
          ["readyForQuery", { status: "I" }]
        ]);
      });
    });
  }
  send(unit) {
    this.lastUnit = unit;
    this.#network.options.sending(this, kindOfUnit(unit));
    this.#toServer(() => {
      if (!this.server.up) return;
      this.server.accept(() => {
        const { session } = this;
        if (session === void 0 || session.gone) this.#refuse("ECONNRESET");
        else session.receive(unit);
      });
    });
  }
  /** The client closes; the news comes behind all that it has sent. */
  close(noticed) {
    this.#deaf = true;
    this.#network.links.delete(this);
    const tell = () => {
      this.session?.clientGone();
    };
    if (noticed) this.#toServer(tell);
    else this.#network.options.scheduler.after(KEEPALIVE_MS, tell);
  }
  answer(messages) {
    this.#toClient(() => {
      this.#connection.receive(messages);
    });
  }
  shut(noticed) {
    if (noticed) this.#refuse(void 0);
  }
  cut(how) {
    const { scheduler } = this.#network.options;
    const end = () => {
      this.session?.clientGone();
    };
    switch (how) {
      case "reset":
        this.#mute = true;
        this.#refuse("ECONNRESET", true);
        scheduler.after(this.#network.latency(), end);
        break;
      case "reply-lost":
        this.#refuse("ECONNRESET", true);
        this.#toServer(end);
        break;
      case "silence":
        this.#mute = true;
        scheduler.after(KEEPALIVE_MS, end);
        break;
    }
    this.#deaf = true;
  }
  #refuse(code, atOnce = false) {
    const error = code === void 0 ? void 0 : Object.assign(new Error(`read ${code}`), { code });
    const tell = () => {
      this.#network.links.delete(this);
      this.#connection.lose(error);
    };
    if (atOnce) this.#network.options.scheduler.after(0, tell);
    else this.#toClient(tell);
  }
  #toServer(arrive) {
    if (this.#mute) return;
    this.#serverFree = this.#arrival(this.#serverFree);
    const { scheduler } = this.#network.options;
    scheduler.after(this.#serverFree - scheduler.now, () => {
      if (!this.#mute) arrive();
    });
  }
  #toClient(arrive) {
    if (this.#deaf) return;
    this.#clientFree = this.#arrival(this.#clientFree);
    const { scheduler } = this.#network.options;
    scheduler.after(this.#clientFree - scheduler.now, () => {
      if (!this.#deaf) arrive();
    });
  }
  #arrival(earliest) {
    const { now } = this.#network.options.scheduler;
    const clogged = this.#network.clogEnd(this.process, this.server.name);
    return Math.max(now, earliest, clogged) + this.#network.latency();
  }
};

// test/simulation/oracle.ts
var Violation = class extends Error {
  kind;
  constructor(kind, message) {
    super(`${kind}: ${message}`);
    this.kind = kind;
  }
};
var Oracle = class {
  log;
  participants;
  installation;
  told = [];
  violations = [];
  /** By `transaction participant`. */
  harms = /* @__PURE__ */ new Map();
  /** Transactions that an operator decided: the coordinator may be told so. */
  forced = /* @__PURE__ */ new Set();
  /** How often something worth a run happened. */
  seen = /* @__PURE__ */ new Map();
  #decisions = /* @__PURE__ */ new Map();
  #canaries = /* @__PURE__ */ new Map();
  constructor(log, participants, installation) {
    this.log = log;
    this.participants = participants;
    this.installation = installation;
  }
  note(what) {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
  violated(kind, message) {
    this.violations.push(new Violation(kind, message));
  }
  /** Invariant 9: these stay, whatever happens. */
  plantCanaries() {
    for (const server of this.participants.values()) {
      const gids = canariesOf(this.installation);
      for (const gid of gids) server.plant(gid);
      this.#canaries.set(server, new Set(gids));
    }
  }
  deciding(session, transactionId, outcome, branches) {
    const { xact } = session;
    const all = this.#decisions.get(transactionId) ?? [];
    if (!all.some((one) => one.xact === xact)) all.push({ outcome, xact });
    this.#decisions.set(transactionId, all);
    if (outcome === "commit") this.#judgeVotes(transactionId, branches);
  }
  /** Invariant 3: behind a commit decision stands a durable PREPARE for every branch that it names. */
  #judgeVotes(transactionId, branches) {
    for (const { participant } of JSON.parse(branches)) {
      const server = this.participants.get(participant);
      if (server === void 0 || this.harms.has(`${transactionId} ${participant}`)) continue;
      const prepared = server.wal.findIndex(
        (record2) => record2.kind === "prepare" && idOf(record2) === transactionId
      );
      if (prepared !== -1 && prepared < server.durable) continue;
      this.violated(
        "vote-without-evidence",
        `${transactionId} is being committed, and its branch on ${participant} is ` + (prepared === -1 ? "not prepared" : "not durable")
      );
    }
  }
  /** What stands durably for a transaction. */
  decisionOf(transactionId) {
    const { wal, durable } = this.log;
    return this.#decisions.get(transactionId)?.find(({ xact }) => {
      const at = wal.findLastIndex((record2) => record2.xact === xact && record2.kind === "commit");
      return at !== -1 && at < durable;
    })?.outcome;
  }
  /** Invariants 1, 9: judged in the moment in which a branch is ended. */
  finishing(server, session, gid, decision) {
    const { process: process2 } = session.link;
    const parsed = parseGid(gid);
    if (parsed?.installation !== this.installation) {
      this.violated("foreign-touched", `${process2} ends ${gid} on ${server.name}`);
      return;
    }
    const { transactionId, epoch } = parsed;
    if (process2 === "by-hand") {
      this.harms.set(`${transactionId} ${server.name}`, "by-hand");
      return;
    }
    this.note(`${decision}-prepared`);
    const stands = this.decisionOf(transactionId);
    if (stands === decision) return;
    const own = this.log.data.coordinators.get(epoch)?.name === process2;
    if (decision === "abort" && own && stands === void 0) return;
    this.violated(
      "effect-before-decision",
      `${process2} ends ${gid} on ${server.name} with ${decision}, and durable is ${stands ?? "nothing"}`
    );
  }
  /** A failover has taken records away. Where the standby was synchronous, nothing that counted was among them. */
  lost(server, records) {
    const excused = server.options.replication === "async";
    for (const record2 of records) {
      const id = idOf(record2);
      if (id === void 0 || !excused) continue;
      this.note(`lost-${record2.kind}`);
      const key = `${id} ${server.name}`;
      if (record2.kind === "prepare" || record2.kind === "commit")
        this.harms.set(key, "prepare-lost");
      else if (!this.harms.has(key)) this.harms.set(key, "end-lost");
    }
  }
  /** A program has its answer: what it is told must be true now. */
  tell(told, answer, pending2, error) {
    if (told.answer !== void 0) this.violated("answered-twice", told.id);
    told.answer = answer;
    told.pending = pending2;
    told.error = error;
    this.note(`told-${answer}`);
    if (answer !== "committed") return;
    for (const name of told.writes) {
      if (pending2.includes(name)) continue;
      const server = this.participants.get(name);
      const there = server?.data.markers.has(told.id) === true || server?.up !== true;
      if (there || this.#wasThere(told.id, name)) continue;
      this.violated("not-yet-committed", `${told.id} is told as committed on ${name}, and is not`);
    }
  }
  /** Its end was there, and a failover took it away. */
  #wasThere(id, name) {
    const harm = this.harms.get(`${id} ${name}`);
    if (harm === "end-lost" || harm === "by-hand") return true;
    const server = this.participants.get(name);
    return harm === "prepare-lost" && server !== void 0 && server.lost.some(
      (record2) => idOf(record2) === id && (record2.kind === "commit-prepared" || record2.kind === "commit")
    );
  }
  /** Gids of this installation that are in doubt somewhere. */
  inDoubt() {
    const found = [];
    for (const [participant, server] of this.participants) {
      const canaries = this.#canaries.get(server);
      for (const { gid } of server.prepared()) {
        if (canaries?.has(gid) === true || gid.startsWith("filler_")) continue;
        found.push({ participant, gid });
      }
    }
    return found;
  }
  /** At the end, with everything healed and at rest. */
  judgeEnd() {
    for (const told of this.told) this.#judgeTransaction(told);
    for (const [server, canaries] of this.#canaries) {
      for (const gid of canaries) {
        if (!server.data.prepared.has(gid)) this.violated("foreign-touched", `${gid} is gone`);
      }
    }
    for (const { gid, kind } of this.log.data.heuristics.values()) this.#judgeHeuristic(gid, kind);
    for (const [id, decisions2] of this.#decisions) this.#judgeOneDecision(id, decisions2);
  }
  /** Invariant 2: of all that was ever written for a transaction, one thing is in the log. */
  #judgeOneDecision(id, decisions2) {
    const kept = decisions2.filter(
      ({ xact }) => this.log.wal.some((record2) => record2.kind === "commit" && record2.xact === xact)
    );
    if (kept.length > 1) this.violated("two-decisions", id);
  }
  #judgeTransaction(told) {
    const { id, writes, answer } = told;
    if (id === "") return;
    const counts = writes.map((name) => this.participants.get(name)?.data.markers.get(id) ?? 0);
    if (counts.some((count2) => count2 > 1)) this.violated("twice", id);
    const harmed = writes.some((name) => this.harms.has(`${id} ${name}`));
    if (harmed) {
      this.note("harmed");
      return;
    }
    const committed = counts.filter((count2) => count2 > 0).length;
    const some = `${committed} of ${writes.length} branches of ${id} are committed`;
    if (committed !== 0 && committed !== writes.length) this.violated("not-atomic", some);
    else if (answer === "committed" && committed === 0) this.violated("lost-commit", some);
    else if (answer === "rolled-back" && committed > 0) this.violated("undead", some);
    else if (answer === "heuristic" && !this.#mayBeHeuristic(told)) {
      this.violated("false-heuristic", `${told.error?.message ?? ""}; ${some}`);
    }
    const stands = this.decisionOf(id);
    if (stands === "commit" && committed === 0)
      this.violated("lost-commit", `${some}, decided commit`);
    if (stands === "abort" && committed > 0) this.violated("undead", `${some}, decided abort`);
  }
  /** Nobody can tell a branch that is gone after a failover from one that the failover took. */
  #mayBeHeuristic({ id, writes }) {
    return this.forced.has(id) || writes.some((name) => (this.participants.get(name)?.failovers ?? 0) > 0);
  }
  #judgeHeuristic(gid, kind) {
    const transactionId = parseGid(gid)?.transactionId ?? "";
    const told = this.told.find(({ id }) => id === transactionId);
    this.note(`heuristic-${kind}`);
    const writes = told?.writes ?? [];
    const harmed = writes.some((name) => this.harms.has(`${transactionId} ${name}`));
    const failedOver = writes.some((name) => (this.participants.get(name)?.failovers ?? 0) > 0);
    if (harmed || kind === "hazard" && failedOver) return;
    this.violated("false-heuristic", `${kind} is recorded for ${gid}, and nothing happened to it`);
  }
};
function idOf(record2) {
  return record2.xact.transactionId;
}
function canariesOf(installation) {
  const rest = `${"0".repeat(16)}_${"0".repeat(32)}_1`;
  const other = installation.replace(/^./, (digit) => digit === "a" ? "b" : "a");
  return [
    `pgxa_${other}_${rest}`,
    `pgxa_${installation}_${rest}_1`,
    `pgxaX${installation}_${rest}`
  ];
}

// test/simulation/random.ts
var Random = class {
  #a;
  #b;
  #c;
  #d;
  constructor(seed, stream = 0) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 4294967296) | 0;
    this.#c = stream | 0;
    this.#d = 1;
    for (let round = 0; round < 12; round += 1) this.bits();
  }
  /** 32 bits as a signed integer. */
  bits() {
    const sum = this.#a + this.#b + this.#d | 0;
    this.#d = this.#d + 1 | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = this.#c + (this.#c << 3) | 0;
    this.#c = (this.#c << 21 | this.#c >>> 11) + sum;
    return sum;
  }
  /** Uniform in [0, 1). */
  next = () => (this.bits() >>> 0) / 4294967296;
  /** Uniform in 0 … below - 1. */
  int(below) {
    return Math.floor(this.next() * below);
  }
  between(low, high) {
    return low + this.next() * (high - low);
  }
  chance(probability) {
    return this.next() < probability;
  }
  pick(list) {
    const picked = list[this.int(list.length)];
    if (picked === void 0) throw new Error("picked from an empty list");
    return picked;
  }
};

// test/simulation/plan.ts
var WRITES = ["prepare", "decide", "settle", "finish", "commit", "retire", "barrier"];
var READS = ["decisions", "list", "epochs", "xact-status", "gone", "terminate"];
var OTHERS = [
  "insert",
  "register",
  "heartbeat",
  "facts",
  "heuristic",
  "is-retired",
  "key"
];
function drawPlan(seed, omission) {
  const random = new Random(seed);
  const participants = random.chance(0.75) ? 2 : 3;
  const coordinators = random.pick([1, 2, 2, 3]);
  const replication = random.pick(["none", "none", "async", "sync"]);
  const logReplication = random.pick(["none", "none", "sync"]);
  const calm = random.chance(0.04);
  const safetyMs = random.pick([600, 1500, 4e3]) * (0.6 + random.next());
  const transactions = drawTransactions(random, participants, coordinators, safetyMs);
  const faults = calm ? [] : drawFaults(random, { replication, logReplication }, safetyMs);
  return {
    seed,
    participants,
    coordinators,
    recoverers: random.chance(0.6) ? 2 : 1,
    replication,
    logReplication,
    probes: random.chance(0.3),
    poolMax: 2 + random.int(3),
    maxPrepared: random.chance(0.1) ? 3 : 16,
    hidesWarnings: random.chance(0.2),
    heartbeatLimitMs: random.pick([1e3, 3e3, 6e3]),
    lockTimeoutMs: random.pick([300, 1e3, 5e3]),
    recoveryIntervalMs: random.pick([300, 1e3, 1e3]),
    patientRecoverer: random.chance(0.3),
    latencyMs: random.pick([
      [0.1, 0.4],
      [0.1, 4],
      [2, 30]
    ]),
    slow: calm ? 0 : random.pick([0, 0, 0.02, 0.1]),
    safetyMs,
    transactions: transactions.filter(
      (_, index) => omission?.transactions.includes(index) !== true
    ),
    faults: faults.filter((_, index) => omission?.faults.includes(index) !== true)
  };
}
function drawTransactions(random, participants, coordinators, safetyMs) {
  const count2 = 1 + random.int(6);
  const keyed = random.chance(0.2);
  const all = Array.from({ length: participants }, (_, index) => index);
  return Array.from({ length: count2 }, () => {
    const first = random.int(participants);
    const order = [...all.slice(first), ...all.slice(0, first)];
    const writers = random.chance(0.12) ? 1 : random.chance(0.8) ? 2 : participants;
    return {
      coordinator: random.int(coordinators),
      atMs: 30 + random.next() * safetyMs * (random.chance(0.5) ? 0.1 : 0.6),
      writes: order.slice(0, writers),
      reads: random.chance(0.2) ? order[writers] : void 0,
      account: random.int(3),
      timeoutMs: random.pick([400, 2e3, 5e3]),
      thinkMs: random.chance(0.2) ? random.int(100) : 0,
      idempotencyKey: keyed && random.chance(0.5) ? `key-${random.int(2)}` : void 0,
      throws: random.chance(0.04)
    };
  });
}
function drawFaults(random, replicas, safetyMs) {
  const kinds = FAULTS.filter(({ needs }) => needs === void 0 || needs(replicas));
  const swarm = kinds.filter(({ often }) => random.chance(often));
  const chosen = swarm.length === 0 ? [random.pick(kinds)] : swarm;
  const count2 = 1 + random.int(random.chance(0.3) ? 9 : 4);
  const triggers = random.pick([0, 0.5, 0.9, 1]);
  return Array.from({ length: count2 }, () => ({
    when: random.chance(triggers) ? drawTrigger(random) : { atMs: random.next() * safetyMs },
    target: random.int(1e3),
    what: random.pick(chosen).draw(random)
  }));
}
function drawTrigger(random) {
  const group = random.next();
  if (group < 0.65) {
    const phase2 = random.pick(["sent", "arrived", "written", "flushed", "answered"]);
    return { kind: random.pick(WRITES), phase: phase2, nth: 1 + random.int(6) };
  }
  const phase = random.pick(["sent", "arrived", "answered"]);
  return group < 0.85 ? { kind: random.pick(READS), phase, nth: 1 + random.int(8) } : { kind: random.pick(OTHERS), phase, nth: 1 + random.int(5) };
}
var hasStandby = ({ replication, logReplication }) => replication !== "none" || logReplication !== "none";
var hasSync = ({ replication, logReplication }) => replication === "sync" || logReplication === "sync";
function duration(random) {
  return random.pick([20, 200, 1200, 3e3, 7e3]) * (0.5 + random.next());
}
var FAULTS = [
  {
    often: 0.5,
    draw: (random) => ({
      do: "kill",
      noticed: random.chance(0.7),
      backAfterMs: random.chance(0.5) ? duration(random) : void 0
    })
  },
  { often: 0.3, draw: (random) => ({ do: "freeze", forMs: duration(random) }) },
  { often: 0.1, draw: () => ({ do: "close-manager" }) },
  {
    often: 0.35,
    draw: (random) => ({
      do: "crash-server",
      forMs: random.pick([50, 300, 2e3, 5e3]) * (0.5 + random.next()),
      noticed: random.chance(0.7)
    })
  },
  {
    often: 0.4,
    needs: hasStandby,
    draw: (random) => ({ do: "fail-over", noticed: random.chance(0.7) })
  },
  { often: 0.2, draw: (random) => ({ do: "pause-server", forMs: duration(random) }) },
  { often: 0.25, draw: (random) => ({ do: "pause-backend", forMs: duration(random) }) },
  { often: 0.25, draw: () => ({ do: "terminate-backend" }) },
  {
    often: 0.5,
    draw: (random) => ({ do: "cut", how: random.pick(["reset", "reply-lost", "silence"]) })
  },
  { often: 0.35, draw: (random) => ({ do: "clog", forMs: duration(random) }) },
  {
    often: 0.5,
    needs: hasSync,
    draw: (random) => ({
      do: "detach-standby",
      cancelAfterMs: random.pick([5, 50, 500, 3e3]) * (0.5 + random.next()),
      forMs: duration(random)
    })
  },
  {
    often: 0.3,
    needs: hasStandby,
    draw: (random) => ({ do: "land-on-standby", forMs: duration(random) })
  },
  { often: 0.1, draw: (random) => ({ do: "detour", forMs: duration(random) }) },
  { often: 0.08, draw: (random) => ({ do: "fill-slots", forMs: duration(random) }) },
  { often: 0.15, draw: (random) => ({ do: "duplicate", afterMs: duration(random) }) },
  {
    often: 0.25,
    draw: (random) => ({
      do: "operator",
      what: random.chance(0.6) ? "resolve" : "force-commit"
    })
  },
  {
    often: 0.05,
    draw: (random) => ({ do: "by-hand", what: random.chance(0.5) ? "commit" : "rollback" })
  }
];

// test/simulation/postgres/data.ts
var Data = class {
  /** Rows of the application, per transaction id: how often its marker was inserted. */
  markers = /* @__PURE__ */ new Map();
  prepared = /* @__PURE__ */ new Map();
  /** Fate of the transaction ids that have ended. */
  fates = /* @__PURE__ */ new Map();
  decisions = /* @__PURE__ */ new Map();
  keys = /* @__PURE__ */ new Map();
  coordinators = /* @__PURE__ */ new Map();
  servers = /* @__PURE__ */ new Map();
  heuristics = /* @__PURE__ */ new Map();
};
function applyRecord(data, record2, lsn) {
  const { xact } = record2;
  switch (record2.kind) {
    case "prepare":
      data.prepared.set(record2.gid, {
        gid: record2.gid,
        xact,
        preparedAt: record2.at,
        lsn,
        busy: false
      });
      return;
    case "commit-prepared":
    case "rollback-prepared":
      data.prepared.delete(record2.gid);
      break;
    case "commit":
    case "abort":
      break;
  }
  const commits = record2.kind === "commit" || record2.kind === "commit-prepared";
  if (xact.xid !== void 0) data.fates.set(xact.xid, commits ? "committed" : "aborted");
  if (commits) for (const change of xact.changes) change(data);
}

// test/simulation/postgres/locks.ts
var CONFLICTS = {
  "key-share": ["update"],
  "no-key-update": ["no-key-update", "update"],
  update: ["key-share", "no-key-update", "update"]
};
var LockTable = class {
  #held = /* @__PURE__ */ new Map();
  #keysOf = /* @__PURE__ */ new Map();
  #waiting = /* @__PURE__ */ new Map();
  /** False if somebody else holds it. */
  take(owner, key, mode) {
    let holders = this.#held.get(key);
    if (holders === void 0) {
      holders = /* @__PURE__ */ new Map();
      this.#held.set(key, holders);
    }
    for (const [other, held] of holders) {
      if (other !== owner && CONFLICTS[mode].includes(held)) return false;
    }
    const own = holders.get(owner);
    if (own !== "update")
      holders.set(owner, own === "no-key-update" && mode === "key-share" ? own : mode);
    let keys = this.#keysOf.get(owner);
    if (keys === void 0) {
      keys = /* @__PURE__ */ new Set();
      this.#keysOf.set(owner, keys);
    }
    keys.add(key);
    return true;
  }
  /** Calls `wake` once when somebody gives up the key; returns a function that takes that back. */
  wait(key, wake) {
    const waiting = this.#waiting.get(key) ?? [];
    this.#waiting.set(key, waiting);
    waiting.push(wake);
    return () => {
      const at = waiting.indexOf(wake);
      if (at !== -1) waiting.splice(at, 1);
    };
  }
  release(owner) {
    const keys = this.#keysOf.get(owner);
    if (keys === void 0) return;
    this.#keysOf.delete(owner);
    for (const key of keys) {
      this.#held.get(key)?.delete(owner);
      this.wake(key);
    }
  }
  wake(key) {
    const waiting = this.#waiting.get(key);
    if (waiting === void 0) return;
    this.#waiting.delete(key);
    for (const wake of waiting.splice(0)) wake();
  }
};

// test/simulation/postgres/session-xact.ts
function endXact(session, { record: record2, xact }) {
  const { server } = session;
  switch (record2.kind) {
    case "prepare": {
      const prepared = server.data.prepared.get(record2.gid);
      if (prepared === void 0) server.carryOut(record2);
      else prepared.busy = false;
      server.running.delete(xact);
      if (session.xact === xact) session.leaveXact();
      return;
    }
    case "commit-prepared":
    case "rollback-prepared":
      server.carryOut(record2);
      server.locks.release(xact);
      return;
    case "commit":
    case "abort":
      server.carryOut(record2);
      server.running.delete(xact);
      server.locks.release(xact);
      if (session.xact === xact) session.leaveXact();
  }
}

// test/simulation/postgres/session.ts
var Session = class {
  server;
  link;
  pid;
  startedAt;
  onStandby;
  /** 'I' idle, 'T' in a transaction, 'E' in a failed one. */
  status = "I";
  xact;
  gone = false;
  /** SIGSTOP of this backend. */
  paused = false;
  settings;
  /** What SET LOCAL has overlaid. */
  sessionSettings;
  /** Set while a statement runs again because its time is out. */
  timedOut = false;
  #changes = [];
  #needsXid = false;
  #units = [];
  #unit;
  #index = 0;
  #out = [];
  #doomed = false;
  #clientGone = false;
  #stopWaiting;
  /** Busy where nothing can interrupt it: in a flush, or waiting for a standby. */
  #committing = false;
  #waitsSince = 0;
  #idleTimer;
  #held = [];
  constructor(server, link, pid, onStandby) {
    this.server = server;
    this.link = link;
    this.pid = pid;
    this.startedAt = server.now;
    this.onStandby = onStandby;
    this.sessionSettings = {
      lockTimeoutMs: 0,
      statementTimeoutMs: 0,
      idleTimeoutMs: 0,
      hidesWarnings: server.options.hidesWarnings
    };
    this.settings = { ...this.sessionSettings };
    this.xact = this.#newXact();
  }
  /** Working, or waiting: not waiting for its client. */
  get active() {
    return this.#unit !== void 0;
  }
  receive(unit) {
    if (this.gone) return;
    this.#units.push(unit);
    if (this.#unit === void 0) this.#next();
  }
  /** The client's side is closed: noticed when the session next waits for it. */
  clientGone() {
    this.#clientGone = true;
    if (this.#unit === void 0) this.end(true);
  }
  /** pg_terminate_backend: at once, except in the middle of a commit. */
  terminate() {
    if (this.gone || this.#doomed) return;
    this.#doomed = true;
    if (this.paused) return;
    if (this.server.cutSyncWait(this)) return;
    if (!this.#committing) this.#die();
  }
  pause() {
    this.paused = true;
  }
  resume() {
    this.paused = false;
    const held = this.#held;
    this.#held = [];
    if (this.#doomed && !this.#committing && !this.gone) {
      this.#die();
      return;
    }
    for (const run2 of held) this.server.later(0, run2);
  }
  /** The server is gone, and this session with it. */
  vanish(noticed) {
    this.gone = true;
    this.#cancelWaits();
    this.link.shut(noticed);
  }
  end(noticed) {
    if (this.gone) return;
    this.gone = true;
    this.#cancelWaits();
    this.abort();
    this.server.forget(this);
    this.link.shut(noticed);
  }
  /** Statements change data through here; nothing is done if the statement has to be run again. */
  change(change) {
    this.#changes.push(change);
  }
  /** The statement writes, and gets a transaction id. */
  assignXid() {
    this.refuseOnStandby();
    this.#needsXid = true;
    if (this.xact.xid === void 0) {
      this.xact.xid = this.server.newXid();
      this.server.running.add(this.xact);
    }
    return this.xact.xid;
  }
  refuseOnStandby() {
    if (this.onStandby) throw new ServerError("25006", "cannot execute in a read-only transaction");
  }
  lock(key, mode) {
    if (!this.server.locks.take(this.xact, key, mode)) {
      if (this.timedOut) throw this.#timeoutError();
      throw new Wait(key, this.#patience());
    }
    this.xact.locks.set(key, mode);
  }
  warn(code) {
    if (!this.settings.hidesWarnings) this.#out.push(noticeMessage(code));
  }
  /** Begins or ends the settings of one transaction. */
  resetLocal() {
    this.settings = { ...this.sessionSettings };
  }
  abort() {
    const { xact, server } = this;
    server.running.delete(xact);
    server.locks.release(xact);
    this.leaveXact();
  }
  /** A new, empty transaction takes the place of the one that has ended or was prepared. */
  leaveXact() {
    this.xact = this.#newXact();
    this.status = "I";
    this.resetLocal();
  }
  #newXact() {
    return { xid: void 0, changes: [], locks: /* @__PURE__ */ new Map() };
  }
  #timeoutError() {
    const { lockTimeoutMs, statementTimeoutMs } = this.settings;
    const byLock = lockTimeoutMs > 0 && (statementTimeoutMs === 0 || lockTimeoutMs <= statementTimeoutMs);
    return byLock ? new ServerError("55P03", "canceling statement due to lock timeout") : new ServerError("57014", "canceling statement due to statement timeout");
  }
  #patience() {
    const limits2 = [this.settings.lockTimeoutMs, this.settings.statementTimeoutMs];
    return Math.min(...limits2.map((limit) => limit === 0 ? Infinity : limit));
  }
  #next() {
    const unit = this.#units.shift();
    if (unit === void 0) {
      if (this.#clientGone) this.end(true);
      else this.#watchIdle();
      return;
    }
    if (this.#idleTimer !== void 0) this.#idleTimer.run = void 0;
    this.#unit = unit;
    this.#index = 0;
    this.#go();
  }
  #go() {
    if (this.paused) {
      this.#held.push(() => {
        this.#go();
      });
      return;
    }
    while (!this.gone && this.#unit !== void 0) {
      const wire = this.#unit.statements[this.#index];
      if (wire === void 0) {
        this.#finishUnit();
        return;
      }
      if (this.#runStatement(wire) === "waits") return;
    }
  }
  #runStatement(wire) {
    const statement = statementOf(wire.text);
    if (!this.timedOut && this.#stopWaiting === void 0) {
      this.server.observer.at(statement.kind, "arrived", this);
      if (this.gone || this.paused) {
        if (!this.gone)
          this.#held.push(() => {
            this.#go();
          });
        return "waits";
      }
    }
    this.#stopWaiting = void 0;
    this.#changes = [];
    this.#needsXid = false;
    try {
      if (this.status === "E" && !statement.endsFailed) {
        throw new ServerError("25P02", "current transaction is aborted");
      }
      const answer = statement.run(this, wire);
      this.timedOut = false;
      this.xact.changes.push(...this.#changes);
      return this.#complete(answer, statement);
    } catch (thrown) {
      this.timedOut = false;
      if (thrown instanceof Wait) return this.#wait(thrown);
      if (thrown instanceof ServerError) return this.#fail(thrown);
      throw thrown;
    }
  }
  #complete(answer, statement) {
    if ("end" in answer) {
      const { end } = answer;
      const told = messagesOf({ tag: answer.tag });
      return this.#commit(statement, end, told, false);
    }
    const messages = messagesOf(answer);
    if (this.status === "I" && (this.#needsXid || this.xact.changes.length > 0)) {
      const record2 = { kind: "commit", xact: this.xact };
      return this.#commit(
        statement,
        { record: record2, xact: this.xact },
        messages,
        this.#unit?.simple === false
      );
    }
    if (this.status === "I") this.server.locks.release(this.xact);
    this.#out.push(...messages);
    this.#index += 1;
    return "done";
  }
  /** Makes an end durable, carries it out, and goes on. */
  #commit(statement, end, messages, tagFirst) {
    if (end === void 0) {
      this.#out.push(...messages);
      this.#index += 1;
      return "done";
    }
    if (tagFirst) this.#out.push(...messages);
    this.#committing = true;
    this.server.write(end.record, this, statement.kind, (replicated) => {
      this.#committing = false;
      if (!replicated && !this.gone) this.warn(this.#doomed ? "57P01" : "01000");
      endXact(this, end);
      if (this.gone) return;
      if (!tagFirst) this.#out.push(...messages);
      this.#index += 1;
      if (this.#doomed) {
        this.#die();
        return;
      }
      this.#go();
    });
    return "waits";
  }
  #wait({ key, timeoutMs }) {
    const again = () => {
      this.#cancelWaits();
      this.server.later(0, () => {
        if (!this.gone) this.#go();
      });
    };
    const forget = this.server.locks.wait(key, again);
    if (this.#waitsSince === 0) this.#waitsSince = this.server.now;
    const left = timeoutMs - (this.server.now - this.#waitsSince);
    const timer = Number.isFinite(left) ? this.server.scheduler.after(Math.max(0, left), () => {
      this.timedOut = true;
      again();
    }) : void 0;
    this.#stopWaiting = () => {
      forget();
      if (timer !== void 0) timer.run = void 0;
    };
    return "waits";
  }
  #cancelWaits() {
    this.#stopWaiting?.();
    if (this.#idleTimer !== void 0) this.#idleTimer.run = void 0;
  }
  #fail(error) {
    this.#waitsSince = 0;
    this.#out.push(errorMessage(error));
    if (this.status === "I") this.abort();
    else if (this.status === "T") this.status = "E";
    this.#index = this.#unit?.statements.length ?? 0;
    return "done";
  }
  #finishUnit() {
    const unit = this.#unit;
    if (unit === void 0) return;
    this.#waitsSince = 0;
    this.#out.push(["readyForQuery", { status: this.status }]);
    const out = this.#out;
    this.#out = [];
    this.#unit = void 0;
    this.server.observer.at(kindOfUnit(unit), "answered", this);
    if (this.gone) return;
    this.link.answer(out);
    this.#next();
  }
  #watchIdle() {
    const { idleTimeoutMs } = this.settings;
    if (this.status === "I" || idleTimeoutMs === 0) return;
    this.#idleTimer = this.server.scheduler.after(idleTimeoutMs, () => {
      if (this.gone || this.#unit !== void 0 || this.paused) return;
      this.#sayFarewell("25P03");
    });
  }
  #die() {
    this.#sayFarewell("57P01");
  }
  #sayFarewell(sqlstate) {
    const error = new ServerError(sqlstate, "terminating connection");
    this.link.answer([...this.#notices(), errorMessage(error, "FATAL")]);
    this.end(true);
  }
  /** A warning is flushed when it is given, with what was gathered before it. */
  #notices() {
    const last = this.#out.findLastIndex(([event]) => event === "notice");
    return this.#out.slice(0, last + 1);
  }
};

// test/simulation/postgres/server.ts
var FLUSH_MS = 0.4;
var STANDBY_MS = 0.8;
var OID = "16384";
var SimulatedServer = class {
  name;
  databaseName;
  systemIdentifier;
  databaseOid = OID;
  options;
  scheduler;
  observer;
  sessions = /* @__PURE__ */ new Map();
  running = /* @__PURE__ */ new Set();
  wal = [];
  locks = new LockTable();
  data = new Data();
  /** Session-level advisory locks. */
  advisory = /* @__PURE__ */ new Map();
  up = true;
  /** Sessions go on, but nobody hears them: a stopped machine. */
  paused = false;
  /** Raised by every crash: what was under way then never comes. */
  incarnation = 1;
  timeline = 1;
  startedAt = 0;
  checkpoint = 1;
  nextXid = 700;
  flushed = 0;
  /** Records that the standby has. */
  replicated = 0;
  standbyAttached = true;
  maxPrepared;
  /** WAL records that failovers have lost. */
  lost = [];
  /** Transaction ids known to this server at each failover: later ones are reused. */
  failovers = 0;
  #nextPid = 100;
  #held = [];
  #syncWaits = /* @__PURE__ */ new Set();
  #random;
  constructor(options) {
    this.options = options;
    this.name = options.name;
    this.databaseName = options.databaseName;
    this.systemIdentifier = options.systemIdentifier;
    this.scheduler = options.scheduler;
    this.observer = options.observer;
    this.maxPrepared = options.maxPrepared;
    this.#random = options.random;
  }
  get now() {
    return this.scheduler.now;
  }
  get hasStandby() {
    return this.options.replication !== "none";
  }
  /** Records that no crash and no failover can take away any more. */
  get durable() {
    return this.options.replication === "sync" ? Math.min(this.flushed, this.replicated) : this.flushed;
  }
  /** Runs when the machine runs, and never after a crash. */
  later(ms, run2) {
    const { incarnation } = this;
    this.scheduler.after(ms, () => {
      this.#deliver(incarnation, run2);
    });
  }
  #deliver(incarnation, run2) {
    if (this.incarnation !== incarnation || !this.up) return;
    if (this.paused)
      this.#held.push(() => {
        this.#deliver(incarnation, run2);
      });
    else run2();
  }
  /** Something comes from outside: seen when the machine runs, lost when it does not. */
  accept(run2) {
    if (this.paused) this.later(0, run2);
    else run2();
  }
  connect(link, onStandby) {
    do
      this.#nextPid = 100 + (this.#nextPid - 99) % 60;
    while (this.sessions.has(this.#nextPid));
    const session = new Session(this, link, this.#nextPid, onStandby);
    this.sessions.set(session.pid, session);
    return session;
  }
  /** What somebody reads who has landed on the standby. */
  dataOf(session) {
    return session.onStandby ? this.#replay(this.replicated) : this.data;
  }
  newXid() {
    const xid = this.nextXid;
    this.nextXid += 1;
    return xid;
  }
  /**
   * Writes a record, flushes it, waits for the standby if it is a synchronous one, and then calls `done`:
   * with `replicated` false if that wait was cut off.
   */
  write(record2, session, kind, done) {
    const lsn = this.wal.push(record2) - 1;
    const { incarnation } = this;
    this.observer.at(kind, "written", session);
    if (this.incarnation !== incarnation) return;
    this.later(FLUSH_MS * (0.5 + this.#random.next()), () => {
      this.flushed = Math.max(this.flushed, lsn + 1);
      this.#ship(lsn);
      if (record2.kind === "prepare") this.#list(record2, lsn);
      this.observer.at(kind, "flushed", session);
      if (this.incarnation !== incarnation) return;
      if (this.options.replication !== "sync" || this.replicated > lsn) {
        done(true);
        return;
      }
      this.#syncWaits.add({ lsn, session, done });
    });
  }
  #list(record2, lsn) {
    applyRecord(this.data, record2, lsn);
    const prepared = record2.kind === "prepare" ? this.data.prepared.get(record2.gid) : void 0;
    if (prepared !== void 0) prepared.busy = true;
    this.running.delete(record2.xact);
  }
  #ship(lsn) {
    if (!this.hasStandby || !this.standbyAttached) return;
    this.later(STANDBY_MS * (0.2 + 3 * this.#random.next()), () => {
      if (!this.standbyAttached) return;
      this.replicated = Math.max(this.replicated, lsn + 1);
      for (const wait of [...this.#syncWaits]) {
        if (wait.lsn < this.replicated && this.#syncWaits.delete(wait)) wait.done(true);
      }
    });
  }
  attachStandby() {
    if (this.standbyAttached) return;
    this.standbyAttached = true;
    if (this.flushed > 0) this.#ship(this.flushed - 1);
  }
  /** Somebody is tired of waiting for the standby, and cancels: the commits count here, and maybe nowhere else. */
  cancelSyncWaits() {
    const waits = [...this.#syncWaits];
    this.#syncWaits.clear();
    for (const wait of waits) wait.done(false);
    return waits.length;
  }
  /** Terminated while it waits for the standby: a warning, and the session is gone. */
  cutSyncWait(session) {
    for (const wait of this.#syncWaits) {
      if (wait.session !== session) continue;
      this.#syncWaits.delete(wait);
      wait.done(false);
      return true;
    }
    return false;
  }
  carryOut(record2) {
    const lsn = this.wal.indexOf(record2);
    applyRecord(this.data, record2, lsn);
  }
  /**
   * kill -9 of the server. What was flushed stays; of what was written and not flushed, a part may have reached
   * the disk. `noticed`: the machine lives, and closes the connections.
   */
  crash(noticed) {
    if (!this.up) return;
    const kept = this.flushed + this.#random.int(this.wal.length - this.flushed + 1);
    this.#stop(noticed);
    this.wal.length = kept;
    this.flushed = kept;
  }
  restart() {
    if (this.up) return;
    this.#recover();
    this.replicated = Math.min(this.replicated, this.wal.length);
    if (this.standbyAttached && this.flushed > 0) this.#ship(this.flushed - 1);
  }
  /** The standby takes over, with what it has. */
  failOver(noticed) {
    if (!this.hasStandby) return;
    if (this.up) this.#stop(noticed);
    this.lost.push(...this.wal.slice(this.replicated));
    this.wal.length = Math.min(this.wal.length, this.replicated);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.standbyAttached = true;
    this.timeline += 1;
    this.failovers += 1;
    this.#recover();
  }
  pause() {
    this.paused = true;
  }
  resume() {
    this.paused = false;
    const held = this.#held.splice(0);
    for (const run2 of held) this.scheduler.after(0, run2);
  }
  forget(session) {
    this.sessions.delete(session.pid);
    for (const [key, holder] of this.advisory) {
      if (holder === session) this.advisory.delete(key);
    }
    this.locks.wake(`gone:${session.pid}:${session.startedAt}`);
  }
  #stop(noticed) {
    this.up = false;
    this.incarnation += 1;
    this.paused = false;
    this.#held.length = 0;
    this.#syncWaits.clear();
    for (const session of this.sessions.values()) session.vanish(noticed);
    this.sessions.clear();
    this.advisory.clear();
    this.running.clear();
    this.locks = new LockTable();
  }
  #recover() {
    this.data = this.#replay(this.wal.length);
    this.nextXid = this.wal.reduce((next, { xact }) => Math.max(next, (xact.xid ?? 0) + 1), 700);
    for (const { xact } of this.data.prepared.values()) {
      for (const [key, mode] of xact.locks) this.locks.take(xact, key, mode);
    }
    this.up = true;
    this.startedAt = this.now;
    this.checkpoint += 1;
  }
  #replay(count2) {
    const data = new Data();
    for (let lsn = 0; lsn < count2; lsn += 1) {
      const record2 = this.wal[lsn];
      if (record2 !== void 0) applyRecord(data, record2, lsn);
    }
    return data;
  }
  /** Puts a prepared transaction of somebody else there, as if it had always been. */
  plant(gid) {
    const xact = { xid: this.newXid(), changes: [], locks: /* @__PURE__ */ new Map() };
    const record2 = { kind: "prepare", gid, xact, at: this.now };
    this.wal.push(record2);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.carryOut(record2);
  }
  /** Takes a planted one away again. */
  uproot(gid) {
    const prepared = this.data.prepared.get(gid);
    if (prepared === void 0 || !this.up) return;
    const record2 = { kind: "rollback-prepared", gid, xact: prepared.xact };
    this.wal.push(record2);
    this.flushed = this.wal.length;
    this.replicated = this.wal.length;
    this.carryOut(record2);
  }
  prepared() {
    return this.data.prepared.values();
  }
};

// test/simulation/scheduler.ts
var Scheduler = class {
  /** Virtual milliseconds. */
  now = 0;
  /** How many events have happened. */
  events = 0;
  #heap = [];
  #order = 0;
  after(ms, run2) {
    const scheduled = { at: this.now + ms, order: this.#order += 1, run: run2 };
    this.#push(scheduled);
    return scheduled;
  }
  /** Lets one thing happen; false when nothing is left. */
  step() {
    for (; ; ) {
      const next = this.#pop();
      if (next === void 0) return false;
      const { run: run2 } = next;
      if (run2 === void 0) continue;
      next.run = void 0;
      this.now = next.at;
      this.events += 1;
      run2();
      return true;
    }
  }
  #push(scheduled) {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(scheduled);
    while (at > 0) {
      const parent = at - 1 >> 1;
      const above = heap[parent];
      if (isBefore(above, scheduled)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = scheduled;
  }
  #pop() {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === void 0 || last === void 0 || heap.length === 0) return top;
    let at = 0;
    for (; ; ) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== void 0 && isBefore(right, heap[child])) child += 1;
      const below = heap[child];
      if (isBefore(last, below)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }
};
function isBefore(a, b) {
  return a.at < b.at || a.at === b.at && a.order < b.order;
}

// test/simulation/trace.ts
var Trace = class {
  lines = [];
  #scheduler;
  #keep;
  #low = 2166136261;
  #high = 16777619;
  constructor(scheduler, keep2) {
    this.#scheduler = scheduler;
    this.#keep = keep2;
  }
  get hash() {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
  add(who, does, what, where) {
    const { now } = this.#scheduler;
    this.#mix(now);
    this.#mix(who.length * 64 + does.length);
    for (let at = 0; at < what.length; at += 1) this.#mix(what.charCodeAt(at));
    this.#mix(who.charCodeAt(who.length - 1));
    this.#mix(where.charCodeAt(0));
    if (this.#keep)
      this.lines.push(`${now.toFixed(3).padStart(10)} ${who} ${does} ${what} ${where}`);
  }
  #mix(value) {
    this.#low = Math.imul(this.#low ^ value * 1e3, 16777619);
    this.#high = Math.imul(this.#high, 31) + this.#low | 0;
  }
};

// test/simulation/schedule.ts
var INSTALLATION2 = "c0ffee123456";
var NAMES = ["orders", "billing", "stock"];
var EVENTS_MAX = 6e4;
var POLL_MS = 50;
var PROBE_ATTEMPTS = 6;
var PROBE_PATIENCE_MS = 6e4;
var CLOSE_PATIENCE_MS = 2e4;
function boundMs(plan) {
  return 3e4 + 2 * plan.heartbeatLimitMs + 4 * plan.recoveryIntervalMs;
}
function runSchedule(seed, options = {}) {
  const plan = drawPlan(seed, options.omission);
  const schedule = new Schedule(plan, options);
  return schedule.run();
}
var Schedule = class {
  #plan;
  #options;
  #scheduler = new Scheduler();
  #trace;
  #world;
  #oracle;
  #nemesis;
  #recoverers = [];
  #processes = 0;
  #closing = false;
  #settledAfterMs = -1;
  constructor(plan, options) {
    this.#plan = plan;
    this.#options = options;
    this.#trace = new Trace(this.#scheduler, options.keepTrace ?? false);
    const log = this.#server("log", plan.logReplication);
    const servers = NAMES.slice(0, plan.participants).map(
      (name) => this.#server(name, plan.replication)
    );
    const all = new Map([log, ...servers].map((server) => [server.name, server]));
    const network = new SimulatedNetwork({
      scheduler: this.#scheduler,
      random: new Random(plan.seed, 2),
      servers: all,
      latencyMs: plan.latencyMs,
      slow: plan.slow,
      sending: (link, kind) => {
        this.#trace.add(link.process, "sends", kind, link.server.name);
        this.#nemesis.reached(kind, "sent", {
          process: link.process,
          server: link.server,
          session: link.session,
          link
        });
      }
    });
    const participants = new Map(servers.map((server) => [server.name, server]));
    this.#oracle = new Oracle(log, participants, INSTALLATION2);
    this.#oracle.plantCanaries();
    const { heartbeatLimitMs, lockTimeoutMs, poolMax: poolMax2, recoveryIntervalMs } = plan;
    const stage = {
      oracle: this.#oracle,
      participants: servers.map(({ name }) => name),
      heartbeatLimitMs,
      lockTimeoutMs,
      poolMax: poolMax2,
      recoveryIntervalMs
    };
    const world = {
      scheduler: this.#scheduler,
      network,
      log,
      servers,
      stage,
      coordinators: [],
      processes: /* @__PURE__ */ new Map(),
      newProcess: (name) => this.#newProcess(name),
      restart: (name) => {
        this.#restart(name);
      }
    };
    this.#world = world;
    this.#nemesis = new Nemesis(world, plan.faults);
  }
  run() {
    const uninstall = installHost(this.#world.network);
    const onRejection = (reason) => {
      this.#oracle.violated("unhandled-rejection", String(reason));
    };
    process.on("unhandledRejection", onRejection);
    try {
      this.#play();
    } finally {
      process.off("unhandledRejection", onRejection);
      uninstall();
    }
    return {
      violations: this.#oracle.violations,
      events: this.#scheduler.events,
      traceHash: this.#trace.hash,
      seen: this.#oracle.seen,
      faults: this.#nemesis.fired,
      settledAfterMs: this.#settledAfterMs,
      trace: this.#trace.lines
    };
  }
  #play() {
    const { transactions, coordinators, safetyMs } = this.#plan;
    for (let index = 0; index < coordinators; index += 1)
      this.#startCoordinator(`coordinator${index}`);
    this.#startRecoverer("recoverer0", false);
    if (this.#plan.recoverers > 1) this.#startRecoverer("recoverer1", this.#plan.patientRecoverer);
    for (const [index, planned] of transactions.entries()) {
      this.#scheduler.after(planned.atMs, () => {
        this.#latest(`coordinator${planned.coordinator}`)?.run(planned, index);
      });
    }
    if (!this.#until(() => this.#scheduler.now >= safetyMs || this.#nothingToCome(), safetyMs))
      return;
    this.#nemesis.heal();
    this.#reviveRecovery();
    if (!this.#live()) return;
    if (this.#plan.probes) {
      this.#probe();
      if (!this.#live()) return;
    }
    this.#askOutcomes();
    this.#options.beforeJudgement?.(this.#world);
    if (this.#oracle.violations.length > 0) return;
    this.#oracle.judgeEnd();
    this.#judgeCalm();
    this.#closeAll();
  }
  /** All transactions have ended, and no fault is waiting for its time: the rest would be idle. */
  #nothingToCome() {
    const { transactions, faults } = this.#plan;
    const { now } = this.#scheduler;
    const coming = transactions.some(({ atMs }) => atMs + 1 >= now) || faults.some(({ when }) => "atMs" in when && when.atMs + 1 >= now);
    return !coming && this.#atRest();
  }
  #atRest() {
    return this.#unanswered().length === 0 && this.#oracle.inDoubt().length === 0;
  }
  /** Liveness: everybody has an answer and nothing is in doubt, within the bound. */
  #live() {
    const healedAt = this.#scheduler.now;
    const settled = this.#until(() => this.#atRest(), boundMs(this.#plan));
    this.#settledAfterMs = this.#scheduler.now - healedAt;
    if (settled) return true;
    for (const { gid, participant } of this.#oracle.inDoubt()) {
      this.#oracle.violated("still-in-doubt", `${gid} on ${participant}`);
    }
    for (const { id, index, process: process2 } of this.#unanswered()) {
      this.#oracle.violated("no-answer", `transaction ${index} (${id}) of ${process2}`);
    }
    return false;
  }
  #unanswered() {
    return this.#oracle.told.filter(
      ({ answer, process: process2 }) => answer === void 0 && this.#world.processes.get(process2)?.alive === true
    );
  }
  /** Not trivial, and nothing leaked: every manager that lives can still commit, on every participant. */
  #probe() {
    const writes = this.#world.servers.map((_, index) => index);
    const probes = this.#world.coordinators.filter(
      (one) => one.working && one.manager !== void 0
    );
    const from2 = this.#oracle.told.length;
    for (const [at, actor] of probes.entries()) {
      actor.probe(
        {
          coordinator: 0,
          atMs: 0,
          writes,
          reads: void 0,
          account: 10 + at,
          timeoutMs: 1e4,
          thinkMs: 0,
          idempotencyKey: void 0,
          throws: false
        },
        PROBE_ATTEMPTS
      );
    }
    this.#until(() => probes.every(({ probing }) => !probing), PROBE_PATIENCE_MS);
    const last = new Map(
      this.#oracle.told.slice(from2).flatMap((told) => told.index < 0 ? [[told.process, told]] : [])
    );
    for (const { answer, process: process2, error } of last.values()) {
      if (answer === "committed") continue;
      this.#oracle.violated(
        "cannot-commit-any-more",
        `${process2}: ${answer ?? "no answer"} ${error?.message ?? ""}`
      );
    }
  }
  #askOutcomes() {
    let asked = 0;
    const actors = this.#world.coordinators.filter(
      (one) => one.working && one.manager !== void 0
    );
    for (const actor of actors) {
      actor.process.deliver(() => {
        void actor.outcomesAreTrue().then(() => {
          asked += 1;
        });
      });
    }
    if (!this.#until(() => asked === actors.length, PROBE_PATIENCE_MS)) {
      this.#oracle.violated("no-answer", "outcomeOf()");
    }
  }
  /** Without faults nothing is aborted but what its program gave up. */
  #judgeCalm() {
    if (this.#plan.faults.length > 0) return;
    const { transactions, lockTimeoutMs, latencyMs } = this.#plan;
    if (lockTimeoutMs < 5e3 || latencyMs[1] > 10 || this.#plan.maxPrepared < 16) return;
    for (const { answer, index, error } of this.#oracle.told) {
      const planned = transactions[index];
      if (answer === "committed" || planned === void 0) continue;
      if (planned.throws || planned.idempotencyKey !== void 0 || planned.timeoutMs < 5e3)
        continue;
      this.#oracle.violated(
        "aborted-without-a-fault",
        `transaction ${index}: ${error?.message ?? ""}`
      );
    }
  }
  /** Invariant 12: after close() no session and no timer is left. */
  #closeAll() {
    this.#closing = true;
    for (const actor of this.#world.coordinators) actor.close();
    for (const actor of this.#recoverers) actor.close();
    const rest = () => [...this.#world.processes.values()].flatMap(
      (process2) => process2.alive && process2.owned.size + process2.timers.size > 0 ? [
        `${process2.name} has ${process2.owned.size} connections and ${process2.timers.size} timers`
      ] : []
    );
    if (this.#until(() => rest().length === 0, CLOSE_PATIENCE_MS)) return;
    for (const leak of rest()) this.#oracle.violated("leak", leak);
  }
  /** False when the time is over, or something is already broken. */
  #until(reached, patienceMs) {
    const { now } = this.#scheduler;
    let due = false;
    const watch = () => {
      due = true;
      this.#scheduler.after(POLL_MS, watch);
    };
    this.#scheduler.after(0, watch);
    for (; ; ) {
      if (this.#oracle.violations.length > 0) return false;
      if (due) {
        due = false;
        if (reached()) break;
        if (this.#scheduler.now - now > patienceMs) return false;
      }
      if (this.#scheduler.events > EVENTS_MAX) {
        this.#oracle.violated("never-ends", `${EVENTS_MAX} events`);
        return false;
      }
      this.#scheduler.step();
    }
    return true;
  }
  #newProcess(name) {
    this.#processes += 1;
    const unique = this.#world.processes.has(name) ? `${name}#${this.#processes}` : name;
    const random = new Random(this.#plan.seed, 100 + this.#processes);
    const process2 = new SimulatedProcess(unique, this.#scheduler, random);
    this.#world.processes.set(unique, process2);
    return process2;
  }
  #startCoordinator(name) {
    this.#world.coordinators.push(new CoordinatorActor(this.#newProcess(name), this.#world.stage));
  }
  #startRecoverer(name, wait) {
    this.#recoverers.push(new RecovererActor(this.#newProcess(name), this.#world.stage, wait));
  }
  #restart(name) {
    if (this.#closing) return;
    const [base = name] = name.split("#");
    if (base.startsWith("coordinator")) this.#startCoordinator(base);
    else if (base.startsWith("recoverer")) this.#startRecoverer(base, false);
  }
  /** Somebody keeps one recoverer running. */
  #reviveRecovery() {
    if (!this.#recoverers.some(({ process: process2 }) => process2.alive))
      this.#startRecoverer("recoverer0", false);
  }
  #latest(base) {
    return this.#world.coordinators.findLast(
      ({ process: process2, working }) => working && process2.name.split("#")[0] === base
    );
  }
  #server(name, replication) {
    const { maxPrepared, hidesWarnings, seed } = this.#plan;
    return new SimulatedServer({
      name,
      databaseName: name === "log" ? "log" : "app",
      systemIdentifier: `70000000000000${name.length}${name.charCodeAt(0)}`,
      replication,
      // Beside the canaries, which take their slots for ever.
      maxPrepared: maxPrepared + 3,
      hidesWarnings,
      installation: name === "log" ? INSTALLATION2 : void 0,
      scheduler: this.#scheduler,
      random: new Random(seed, 10 + name.length),
      observer: {
        at: (kind, phase, session) => {
          this.#trace.add(session.link.process, phase, kind, name);
          if (kind === "facts" && phase === "answered") {
            this.#world.network.acquainted.add(`${session.link.process} ${name}`);
          }
          this.#nemesis.reached(kind, phase, {
            process: session.link.process,
            server: session.server,
            session,
            link: session.link instanceof SimulatedLink ? session.link : void 0
          });
        },
        finishing: (server, session, gid, decision) => {
          this.#oracle.finishing(server, session, gid, decision);
        },
        deciding: (session, transactionId, outcome, branches) => {
          this.#oracle.deciding(session, transactionId, outcome, branches);
        }
      }
    });
  }
};

// test/simulation/try.ts
var from = Number(process.argv[2] ?? 1);
var count = Number(process.argv[3] ?? 1);
var keep = process.argv[4] === "t";
setImmediate(() => {
  const kinds = /* @__PURE__ */ new Map();
  const seen = /* @__PURE__ */ new Map();
  let events = 0;
  const t0 = performance.now(), c0 = process.cpuUsage();
  for (let s = from; s < from + count; s += 1) {
    const r = runSchedule(s, { keepTrace: keep });
    events += r.events;
    for (const [k, n] of r.seen) seen.set(k, (seen.get(k) ?? 0) + n);
    for (const v of r.violations.slice(0, 1)) {
      const k = kinds.get(v.kind) ?? [];
      k.push(s);
      kinds.set(v.kind, k);
      if (count < 5) console.log(s, v.message);
    }
    if (keep) {
      console.log(r.trace.join("\n"));
      console.log(r.faults, r.settledAfterMs);
    }
  }
  const c = process.cpuUsage(c0);
  console.log(
    count,
    "schedules",
    ((performance.now() - t0) / count).toFixed(3),
    "ms wall",
    ((c.user + c.system) / 1e3 / count).toFixed(3),
    "ms cpu",
    (events / count).toFixed(0),
    "events"
  );
  for (const [k, l] of kinds) console.log(k, l.length, l.slice(0, 8).join(" "));
  if (count > 50)
    console.log(
      [...seen].sort().map(([k, n]) => `${k}=${n}`).join(" ")
    );
});
