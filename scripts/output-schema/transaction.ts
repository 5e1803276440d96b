/** One transaction, its branches, and whoever waits for them; and a branch that is not of pgxa. */
import { z } from 'zod';

import {
  time,
  ms,
  count,
  uuid,
  xid,
  decision,
  decidedBy,
  heuristicKind,
  coordinatorState,
  row,
  server,
} from './values.ts';

export const blockedSession = z
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

export const observation = z.object({
  server: z.enum(['registered', 'standby', 'other']),
  gid: z.enum(['ours', 'foreign']),
  decision: z.enum(['commit', 'abort', 'none', 'forgotten', 'ahead']),
  coordinator: coordinatorState,
});

export const attempt = z
  .object({
    daemon: z.string(),
    attempts: count,
    error: z.string(),
    failedAgoMs: ms,
    nextInMs: ms.describe('negative: it is due'),
  })
  .meta({ id: 'attempt', description: 'what recovery tried last, and could not do' });

export const branch = z
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

export const heuristic = z
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

export const transaction = z
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

export const foreign = z
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
