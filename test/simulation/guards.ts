/**
 * The guards of the protocol, and for each a change of src that removes it. The simulation has to notice; where it
 * cannot, `unseen` says why, and `heldBy` which test does.
 */
import { COORDINATOR_GUARDS } from './guards/coordinator.ts';
import type { Guard } from './guards/guard.ts';
import { PARTICIPANT_GUARDS } from './guards/participant.ts';
import { RECOVERY_GUARDS } from './guards/recovery.ts';
import { REGISTER_GUARDS } from './guards/register.ts';

export type { Guard };

export const GUARDS: readonly Guard[] = [
  ...COORDINATOR_GUARDS,
  ...REGISTER_GUARDS,
  ...PARTICIPANT_GUARDS,
  ...RECOVERY_GUARDS,
];
