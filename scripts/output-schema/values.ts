/** What stands in many documents. */
import { z } from 'zod';

export const time = z.string().meta({ format: 'date-time' });
export const ms = z.number().meta({ description: 'milliseconds' });
export const count = z.number().int().min(0);
export const uuid = z.string().meta({ format: 'uuid' });
export const xid = z.string().regex(/^\d+$/);
export const decision = z.enum(['commit', 'abort']);
export const decidedBy = z.enum(['coordinator', 'recovery', 'operator']);
export const heuristicKind = z.enum(['commit', 'rollback', 'mixed', 'hazard']);
export const coordinatorState = z.enum(['live', 'silent', 'retired', 'unregistered']);
export const action = z.enum(['leave', 'report', 'commit', 'roll-back', 'retire', 'win-abort']);
export const row = z
  .string()
  .regex(/^[A-Z]?$/)
  .describe('of the decision table of recovery');

export const server = z
  .object({
    systemIdentifier: z.string(),
    timeline: z.string(),
    databaseOid: z.string().optional(),
  })
  .meta({ id: 'server' });

export const slots = z.object({ used: count, max: count });
export const complete = z
  .boolean()
  .describe('false: something did not answer, and may be missing here');
