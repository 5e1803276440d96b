/**
 * The form of `pgxa … -o json`, of which schema/pgxa-output.schema.json is made: `npm run schema`.
 * test/cli/output-schema.test.ts holds it against what every verb really prints.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { z } from 'zod';

export const SCHEMA_FILE = fileURLToPath(
  new URL('../schema/pgxa-output.schema.json', import.meta.url),
);

const time = z.string().meta({ format: 'date-time' });
const ms = z.number().meta({ description: 'milliseconds' });
const count = z.number().int().min(0);
const uuid = z.string().meta({ format: 'uuid' });
const xid = z.string().regex(/^\d+$/);
const decision = z.enum(['commit', 'abort']);
const decidedBy = z.enum(['coordinator', 'recovery', 'operator']);
const heuristicKind = z.enum(['commit', 'rollback', 'mixed', 'hazard']);
const coordinatorState = z.enum(['live', 'silent', 'retired', 'unregistered']);
const action = z.enum(['leave', 'report', 'commit', 'roll-back', 'retire', 'win-abort']);
const row = z
  .string()
  .regex(/^[A-Z]?$/)
  .describe('of the decision table of recovery');

const server = z
  .object({
    systemIdentifier: z.string(),
    timeline: z.string(),
    databaseOid: z.string().optional(),
  })
  .meta({ id: 'server' });

const blockedSession = z
  .object({
    pid: z.number().int(),
    blockedBy: z.array(z.number().int()).describe('0 is a prepared transaction'),
    user: z.string().optional(),
    application: z.string().optional(),
    client: z.string().optional(),
    query: z.string().optional().describe('left out where the role of pgxa may not see it'),
    waitMs: ms.optional(),
    waitsFor: z.string(),
    depth: z.number().int().min(1).describe('1 waits for the prepared transaction itself'),
  })
  .meta({ id: 'blockedSession' });

const observation = z.object({
  server: z.enum(['registered', 'standby', 'other']),
  gid: z.enum(['ours', 'foreign']),
  decision: z.enum(['commit', 'abort', 'none', 'forgotten', 'ahead']),
  coordinator: coordinatorState,
});

const attempt = z
  .object({
    daemon: z.string(),
    attempts: count,
    error: z.string(),
    failedAgoMs: ms,
    nextInMs: ms.describe('negative: it is due'),
  })
  .meta({ id: 'attempt', description: 'what recovery tried last, and could not do' });

const branch = z
  .object({
    participant: z.string(),
    branch: z.number().int().min(1),
    gid: z.string().describe('empty where no branch is left to tell the epoch'),
    state: z.enum(['prepared', 'committed', 'rolled-back', 'unknown']),
    xid: xid.optional(),
    server: server.optional(),
    preparedAt: time.optional(),
    ageMs: ms.optional(),
    owner: z.string().optional(),
    xidAge: z.number().optional(),
    freezeLimit: z.number().optional(),
    blocked: z.array(blockedSession),
    observation: observation.optional(),
    row: row.optional(),
    why: z.string().optional(),
    attempt: attempt.optional(),
  })
  .meta({ id: 'branch' });

const heuristic = z
  .object({
    gid: z.string(),
    kind: heuristicKind,
    transactionId: uuid,
    participant: z.string(),
    decision,
    evidence: z.string(),
    foundBy: z.string(),
    foundAt: time,
    acknowledged: z.object({ at: time, by: z.string(), reason: z.string().optional() }).optional(),
  })
  .meta({ id: 'heuristic' });

const transaction = z
  .object({
    transactionId: uuid,
    verdict: z.enum([
      'commit',
      'abort',
      'undecided-live',
      'undecided-dead',
      'contradictory',
      'hazard',
      'unknown',
    ]),
    reason: z.string(),
    beganAt: time,
    label: z.string().optional(),
    decision: z.object({ decision, decidedBy, decidedAt: time }).optional(),
    coordinator: z
      .object({
        epoch: z.string(),
        name: z.string().optional(),
        host: z.string().optional(),
        pid: z.number().int().optional(),
        state: coordinatorState,
        heartbeatAgeMs: ms.optional(),
      })
      .optional(),
    branches: z.array(branch),
    heuristics: z.array(heuristic),
    ageMs: ms.describe('of the oldest branch that is prepared'),
    blocked: count.describe('sessions that wait'),
  })
  .meta({ id: 'transaction' });

const foreign = z
  .object({
    participant: z.string(),
    gid: z.string(),
    origin: z.object({
      kind: z.string(),
      origin: z.string(),
      advice: z.string(),
      decoded: z.record(z.string(), z.string()),
    }),
    xid,
    ageMs: ms,
    owner: z.string().optional(),
    xidAge: z.number().optional(),
    freezeLimit: z.number().optional(),
    blocked: z.array(blockedSession),
  })
  .meta({ id: 'foreign' });

const slots = z.object({ used: count, max: count });
const complete = z.boolean().describe('false: something did not answer, and may be missing here');

const survey = z.object({
  schema: z.literal('pgxa.survey/1'),
  takenAt: time,
  installation: z.string().optional(),
  log: z.object({ status: z.enum(['reachable', 'unreachable']), error: z.string().optional() }),
  complete,
  participants: z.array(
    z.object({
      name: z.string(),
      status: z.enum([
        'listed',
        'standby',
        'other-server',
        'unusable',
        'unreachable',
        'not-configured',
      ]),
      error: z.string().optional(),
      server: server.optional(),
      slots: slots.optional(),
      inspectionError: z.string().optional(),
      daemon: z.string().optional(),
      attempt: attempt.optional(),
    }),
  ),
  transactions: z.array(transaction),
  foreign: z.array(foreign),
});

const explanation = z.object({
  schema: z.literal('pgxa.explanation/1'),
  transaction: transaction.optional(),
  foreign: foreign.optional(),
  details: z.array(
    z.object({
      participant: z.string(),
      gid: z.string(),
      locks: z.array(z.object({ kind: z.string(), object: z.string(), mode: z.string(), count })),
      rows: z.array(
        z.object({
          relation: z.string(),
          rows: z.array(z.string()),
          hasMore: z.boolean(),
          error: z.string().optional(),
        }),
      ),
      error: z.string().optional(),
    }),
  ),
  complete,
  reason: z.string(),
  consequence: z.string(),
  recovery: z.string(),
  command: z.string().optional().describe('left out where to wait is right'),
});

const plan = z.object({
  schema: z.literal('pgxa.plan/1'),
  steps: z.array(
    z.object({
      transactionId: uuid,
      participant: z.string(),
      gid: z.string(),
      row: row.optional(),
      action,
      why: z.string(),
    }),
  ),
  complete,
});

const branchLeft = z.object({
  gid: z.string(),
  transactionId: uuid,
  row,
  reason: z.string(),
  error: z.string().optional(),
});
const heuristicFound = z.object({
  gid: z.string(),
  transactionId: uuid,
  decision,
  kind: heuristicKind,
  evidence: z.string(),
});
const onParticipant = { participant: z.string() };

const resolution = z
  .object({
    committed: count,
    rolledBack: count,
    left: z.array(branchLeft.extend(onParticipant)),
    heuristics: z.array(heuristicFound.extend(onParticipant)),
    failed: z.array(z.object({ ...onParticipant, error: z.string() })),
  })
  .meta({ id: 'resolution' });

const resolved = resolution.extend({ schema: z.literal('pgxa.resolution/1'), complete });

const forceSchema = z.literal('pgxa.force/1');
const unaudited = z.string().optional().describe('why its end is not in the audit');
const force = z.union([
  z.object({ schema: forceSchema, kind: z.literal('decided'), resolution, unaudited }),
  z.object({ schema: forceSchema, kind: z.literal('lost'), why: z.string(), unaudited }),
  z.object({
    schema: forceSchema,
    kind: z.literal('branches'),
    unaudited,
    branches: z.array(
      z.object({
        ...onParticipant,
        gid: z.string(),
        result: z.enum(['forced', 'lost', 'pending', 'unknown']),
        detail: z.string().optional(),
      }),
    ),
  }),
]);

const forgotten = z.object({
  schema: z.literal('pgxa.forgotten/1'),
  forgotten: z.array(heuristic),
});

const check = z.object({
  schema: z.literal('pgxa.check/1'),
  state: z.enum(['fine', 'found', 'partial']),
  isCritical: z.boolean(),
  transactions: z.array(transaction),
  foreign: z.array(foreign),
  inDoubt: count,
  oldestMs: ms,
  blocked: count,
  complete,
  summary: z.string(),
});

const observations = z.object({
  schema: z.literal('pgxa.observations/1'),
  observations: z.array(
    z.object({
      participant: z.string(),
      gid: z.string(),
      server: z.string(),
      ours: z.boolean(),
      decision: z.string(),
      coordinator: z.string(),
      row,
      action,
      why: z.string(),
    }),
  ),
  complete,
});

const recovery = z.object({
  schema: z.literal('pgxa.recovery/1'),
  committed: count,
  rolledBack: count,
  left: count,
  heuristics: count,
  complete: z.boolean().describe('everything was read, and nothing is left in doubt'),
  participants: z.record(
    z.string(),
    z.object({
      status: z.enum(['listed', 'standby', 'other-server', 'unreachable']),
      committed: count,
      rolledBack: count,
      left: z.array(branchLeft),
      heuristics: z.array(heuristicFound),
      foreign: count,
      oldestMs: ms,
      oldest: z.string().optional(),
      server: server.optional(),
      slots: slots.optional(),
      error: z.string().optional(),
    }),
  ),
});

const coordinators = z.object({
  schema: z.literal('pgxa.coordinators/1'),
  coordinators: z.array(
    z.object({
      epoch: z.string(),
      name: z.string(),
      host: z.string(),
      pid: z.number().int(),
      version: z.string(),
      role: z.string(),
      startedAt: time,
      heartbeatAt: time,
      retiredAt: time.optional(),
      retiredBy: decidedBy.optional(),
      state: coordinatorState,
      heartbeatAgeMs: ms,
    }),
  ),
});

const history = z.object({
  schema: z.literal('pgxa.history/1'),
  decisions: z.array(
    z.object({
      transactionId: uuid,
      epoch: z.string(),
      coordinator: z.string().optional(),
      decision,
      decidedBy,
      decidedAt: time,
      label: z.string().optional(),
      branches: z.array(
        z.object({
          participant: z.string(),
          branch: z.number().int(),
          xid: xid.optional(),
          systemIdentifier: z.string(),
          timeline: z.string(),
        }),
      ),
    }),
  ),
});

const audit = z.object({
  schema: z.literal('pgxa.audit/1'),
  entries: z.array(
    z.object({
      id: z.string(),
      at: time,
      actor: z.string(),
      role: z.string(),
      action: z.string(),
      transactionId: uuid.optional(),
      epoch: z.string().optional(),
      reason: z.string().optional(),
      before: z.unknown().optional(),
      after: z.unknown().optional(),
    }),
  ),
});

const diagnosis = z.object({
  schema: z.literal('pgxa.diagnosis/1'),
  takenAt: time,
  outcome: z.enum(['fine', 'fault', 'partial']),
  findings: z.array(
    z.object({
      severity: z.enum(['ok', 'info', 'warning', 'fault']),
      subject: z.enum(['log', 'participant', 'daemon', 'coordinators']),
      participant: z.string().optional(),
      check: z.string(),
      found: z.string(),
      action: z.string().optional().describe('what to do; left out where nothing has to be done'),
    }),
  ),
  counts: z.object({ ok: count, info: count, warning: count, fault: count }),
  complete,
});

/** By the name that stands in `schema`. */
export const DOCUMENTS = {
  'pgxa.survey/1': survey,
  'pgxa.explanation/1': explanation,
  'pgxa.plan/1': plan,
  'pgxa.resolution/1': resolved,
  'pgxa.force/1': force,
  'pgxa.forgotten/1': forgotten,
  'pgxa.check/1': check,
  'pgxa.observations/1': observations,
  'pgxa.recovery/1': recovery,
  'pgxa.coordinators/1': coordinators,
  'pgxa.history/1': history,
  'pgxa.audit/1': audit,
  'pgxa.diagnosis/1': diagnosis,
} as const;

/**
 * @param strict also refuses fields that are not described. The shipped one does not: a version may be added to.
 */
export function outputSchema({ strict }: { readonly strict: boolean }): Record<string, unknown> {
  const any = z.union(Object.values(DOCUMENTS));
  const { $schema, ...schema } = z.toJSONSchema(any, { io: strict ? 'output' : 'input' });
  return {
    $schema,
    $id: 'pgxa-output.schema.json',
    title: 'What pgxa prints with -o json',
    description: 'Which of the forms it is, and its version, is told by "schema".',
    ...schema,
  };
}

export function outputSchemaText(): Promise<string> {
  return format(JSON.stringify(outputSchema({ strict: false })), {
    parser: 'json',
    printWidth: 100,
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(SCHEMA_FILE, await outputSchemaText());
}
