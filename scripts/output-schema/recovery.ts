/** What a pass of recovery saw, and what it did. */
import { z } from 'zod';

import { ms, count, action, row, server, slots, complete } from './values.ts';
import { branchLeft, heuristicFound } from './end-of-branches.ts';

export const observations = z.object({
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

export const recovery = z.object({
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
