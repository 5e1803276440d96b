/** What the verbs that look at transactions and end them print. */
import { z } from 'zod';

import { time, ms, count, uuid, action, row, server, slots, complete } from './values.ts';
import { attempt, heuristic, transaction, foreign } from './transaction.ts';
import { onParticipant, resolution } from './end-of-branches.ts';

export const survey = z.object({
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

export const explanation = z.object({
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

export const plan = z.object({
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

export const resolved = resolution.extend({ schema: z.literal('pgxa.resolution/1'), complete });

const forceSchema = z.literal('pgxa.force/1');
const unaudited = z.string().optional().describe('why its end is not in the audit');
export const force = z.union([
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

export const forgotten = z.object({
  schema: z.literal('pgxa.forgotten/1'),
  forgotten: z.array(heuristic),
});

export const check = z.object({
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
