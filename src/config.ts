import { z } from 'zod';

import { ConfigError, MisuseError } from './errors.ts';
import type { PoolLike } from './postgres/client.ts';

/** As node-postgres reads it. Looked at here, because its own error would carry the password along. */
const connectionString = z
  .string()
  .refine(
    isConnectionString,
    'expected a URL such as postgresql://user@host:5432/database (percent-encode the password)',
  );

/** Where a database is, as node-postgres takes it. */
const connectionFields = {
  connectionString: connectionString.optional(),
  host: z.string().min(1).optional(),
  port: z.number().int().min(1).max(65_535).optional(),
  user: z.string().min(1).optional(),
  password: z
    .union(
      [
        z.string(),
        z.custom<() => string | Promise<string>>((value) => typeof value === 'function'),
      ],
      'expected a string, or a function that returns one',
    )
    .optional(),
  database: z.string().min(1).optional(),
  ssl: z
    .union(
      [z.boolean(), z.record(z.string(), z.unknown())],
      'expected true, false, or the options of tls.connect()',
    )
    .optional(),
};

const poolLike = z.custom<PoolLike>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<PoolLike>).connect === 'function',
  'expected a node-postgres Pool (an object with connect())',
);

const participantSchema = z
  .strictObject({
    ...connectionFields,
    pool: poolLike.optional(),
    max: z.number().int().min(1).max(10_000).optional(),
    lockTimeoutMs: z.number().int().min(1).max(3_600_000).default(10_000),
  })
  .refine((value) => value.pool === undefined || value.max === undefined, {
    path: ['max'],
    message: 'the size of a pool that you made is set where you make it',
  })
  .superRefine(refuseSecondPlace)
  .refine(hasPlace, {
    message: 'expected connectionString, pool, or host/database settings',
  });

const logSchema = z
  .strictObject(connectionFields)
  .superRefine(refuseSecondPlace)
  .refine(hasPlace, { message: 'expected connectionString or host/database settings' });

/** A socket directory, or a URL; node-postgres takes everything else for a path on a host "base". */
function isConnectionString(text: string): boolean {
  if (text.startsWith('/')) return true;
  if (!/^(postgres|postgresql|socket):/i.test(text)) return false;
  return URL.canParse(text) || URL.canParse(text.replace('@/', '@host/'));
}

/** node-postgres ignores these beside a connectionString, even those that the URL leaves open. */
function refuseSecondPlace(
  value: Readonly<Record<string, unknown>>,
  context: z.RefinementCtx,
): void {
  if (value['connectionString'] === undefined) return;
  for (const key of ['host', 'port', 'user', 'password', 'database']) {
    if (value[key] === undefined) continue;
    const message =
      'has no effect beside connectionString: write it in there, or use settings only';
    context.addIssue({ code: 'custom', path: [key], message });
  }
}

function hasPlace(value: object): boolean {
  return ['connectionString', 'pool', 'host', 'database'].some(
    (key) => (value as Record<string, unknown>)[key] !== undefined,
  );
}

const participantName = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_-]{0,62}$/,
    'expected a letter, then up to 62 letters, digits, _ or -',
  );

const configSchema = z
  .strictObject({
    coordinator: text(200).min(1),
    decisionLog: logSchema,
    participants: z.record(participantName, participantSchema),
    timeoutMs: z.number().int().min(1).max(86_400_000).default(30_000),
    heartbeatLimitMs: z.number().int().min(1_000).max(3_600_000).default(10_000),
    connectTimeoutMs: z.number().int().min(1).max(600_000).default(5_000),
  })
  .refine((value) => Object.keys(value.participants).length > 0, {
    path: ['participants'],
    message: 'expected at least one participant',
  });

export const daemonSchema = z
  .strictObject({
    name: text(200).min(1),
    decisionLog: logSchema,
    participants: z.record(participantName, logSchema),
    heartbeatLimitMs: z.number().int().min(1_000).max(3_600_000).default(10_000),
    connectTimeoutMs: z.number().int().min(1).max(600_000).default(5_000),
    intervalMs: z.number().int().min(100).max(60_000).default(1_000),
    leaseMs: z.number().int().min(1_000).max(600_000).default(5_000),
    retentionDays: z.number().int().min(2).max(3_650).default(7),
  })
  .refine((value) => Object.keys(value.participants).length > 0, {
    path: ['participants'],
    message: 'expected at least one participant',
  });

/** PostgreSQL stores no NUL in a text. */
function text(max: number): z.ZodString {
  return z
    .string()
    .max(max)
    .refine((value) => !value.includes('\0'), 'expected a text without NUL characters');
}

const isolationLevels = ['read committed', 'repeatable read', 'serializable'] as const;

const abortSignal = z.custom<AbortSignal>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as AbortSignal).aborted === 'boolean',
  'expected an AbortSignal',
);

const runSchema = z.strictObject({
  label: text(200).optional(),
  timeoutMs: z.number().int().min(1).max(86_400_000).optional(),
  signal: abortSignal.optional(),
  idempotencyKey: text(200).min(1).optional(),
  isolationLevel: z.enum(isolationLevels).optional(),
  readOnly: z.boolean().optional(),
  retry: z.strictObject({ attempts: z.number().int().min(1).max(100) }).optional(),
});

export type Config = z.output<typeof configSchema>;
export type ParticipantConfig = z.output<typeof participantSchema>;
export type ConnectionConfig = z.output<typeof logSchema>;
export type DaemonConfig = z.output<typeof daemonSchema>;
export type RunConfig = z.output<typeof runSchema>;

/**
 * Checks a configuration and fills in its defaults. Unknown keys are refused: a misspelt setting must
 * not be a silent default.
 *
 * @throws ConfigError with code `PGXA_CONFIG_INVALID`, naming every wrong key at once.
 */
export function parseConfig(input: unknown): Config {
  const parsed = configSchema.safeParse(input);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new ConfigError('PGXA_CONFIG_INVALID', `configuration: ${describe(parsed.error)}`);
}

/** @throws ConfigError with code `PGXA_CONFIG_INVALID`, naming every wrong key at once. */
export function parseDaemonConfig(input: unknown): DaemonConfig {
  const parsed = daemonSchema.safeParse(input);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new ConfigError('PGXA_CONFIG_INVALID', `configuration: ${describe(parsed.error)}`);
}

/** @throws ConfigError with code `PGXA_CONFIG_INVALID`. */
export function parseConnectionConfig(input: unknown): ConnectionConfig {
  const parsed = logSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new ConfigError('PGXA_CONFIG_INVALID', `decision log: ${describe(parsed.error)}`);
}

/** @throws MisuseError with code `PGXA_INVALID_ARGUMENT`. */
export function parseRunOptions(input: unknown): RunConfig {
  const parsed = runSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new MisuseError('PGXA_INVALID_ARGUMENT', `transaction options: ${describe(parsed.error)}`);
}

/** Paths and expectations; zod never puts the received value of a string, a secret maybe, in there. */
function describe(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const path = issue.path.length === 0 ? '(top level)' : issue.path.join('.');
      const inner = issue.code === 'invalid_key' ? issue.issues : [issue];
      return `${path}: ${inner.map(({ message }) => message).join(', ')}`;
    })
    .join('; ');
}
