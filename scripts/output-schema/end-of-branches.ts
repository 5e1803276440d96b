/** What became of branches: ended, left in doubt, or against the decision. */
import { z } from 'zod';

import { count, uuid, decision, heuristicKind, row } from './values.ts';

export const branchLeft = z.object({
  gid: z.string(),
  transactionId: uuid,
  row,
  reason: z.string(),
  error: z.string().optional(),
});
export const heuristicFound = z.object({
  gid: z.string(),
  transactionId: uuid,
  decision,
  kind: heuristicKind,
  evidence: z.string(),
});
export const onParticipant = { participant: z.string() };

export const resolution = z
  .object({
    committed: count,
    rolledBack: count,
    left: z.array(branchLeft.extend(onParticipant)),
    heuristics: z.array(heuristicFound.extend(onParticipant)),
    failed: z.array(z.object({ ...onParticipant, error: z.string() })),
  })
  .meta({ id: 'resolution' });
