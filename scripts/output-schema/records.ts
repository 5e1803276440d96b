/** What the decision log holds: coordinators, decisions, and what operators did. */
import { z } from 'zod';

import { time, ms, uuid, xid, decision, decidedBy, coordinatorState } from './values.ts';

export const coordinators = z.object({
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

export const history = z.object({
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

export const audit = z.object({
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
