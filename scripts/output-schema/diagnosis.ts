/** What `pgxa doctor` prints. */
import { z } from 'zod';

import { complete, count, time } from './values.ts';

export const diagnosis = z.object({
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
